"""Commands on the tenant that the key belongs to: usage and the audit log."""

import csv
import json
import sys
from datetime import datetime
from itertools import islice
from typing import cast

import click

from lmaas.cli.output import print_json, print_table, server_options
from lmaas.client import Client
from lmaas.errors import BadUsage
from lmaas.tenant import Group, UsageLine

_DAY = click.DateTime(["%Y-%m-%d"])
_COLUMNS = ("day", "model", "succeeded", "failed", "cancelled", "expired",
            "prompt_tokens", "completion_tokens")  # fmt: skip


@click.command()
@click.option("--from", "first", type=_DAY, help="A day (UTC); default: 30 days ago.")
@click.option("--to", "last", type=_DAY, help="Included; default: today.")
@click.option("--model", "-m", help="Name or name@version.")
@click.option(
    "--by", default="day,model", show_default=True,
    type=click.Choice(["day,model", "day", "model", "none"]), help="What a line stands for.",
)  # fmt: skip
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a head.")
@server_options
def usage(
    first: datetime | None,
    last: datetime | None,
    model: str | None,
    by: str,
    as_csv: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Show jobs that ended and their tokens; each job counts once, when it ended."""
    if as_csv and as_json:
        raise BadUsage("--csv and --json exclude each other")
    days = [None if at is None else at.date() for at in (first, last)]
    with Client(url) as client:
        lines = client.usage(*days, model=model, group=cast("Group", by))
    if as_json:
        print_json([{**_cells(line), "day": line.day and line.day.isoformat()} for line in lines])
    elif as_csv:
        out = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
        out.writeheader()
        out.writerows(_cells(line) for line in lines)
    else:
        rows = [["-" if cell is None else cell for cell in _cells(line).values()] for line in lines]
        print_table(_COLUMNS, rows, "nothing was used")


def _cells(line: UsageLine) -> dict[str, object]:
    return {name: getattr(line, name) for name in _COLUMNS}


@click.command()
@click.option("--action", help="Such as key.create.")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, show_default=True)
@server_options
def audit(action: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """Show what was changed in the tenant, newest first; needs a key with `admin`."""
    with Client(url) as client:
        entries = list(islice(client.audit(action=action, page=min(limit, 100)), limit))
    if as_json:
        print_json(entries)
        return
    rows = [
        (
            "-" if entry.at is None else f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.actor if entry.key_id is None else f"key {entry.key_id}",
            entry.address,
            entry.action,
            entry.target_id,
            json.dumps(entry.details, ensure_ascii=False),
        )
        for entry in entries
    ]
    print_table(("at (UTC)", "who", "from", "what", "of", "details"), rows, "no changes")
