"""`python -m api.tenants usage` and `audit`: over all tenants, as lines for a pipe."""

import csv
import json
import sys
from datetime import UTC, date, datetime, timedelta

import click

from api.operator_commands import database
from jobs import audit, tenants, usage
from jobs.audit import Page
from jobs.usage import Wanted

_COLUMNS = ("tenant", "day", "model", "succeeded", "failed", "cancelled", "expired",
            "prompt_tokens", "completion_tokens")  # fmt: skip
_MOST = 1_000_000
_Day = click.DateTime(["%Y-%m-%d"])


@click.command("usage")
@click.argument("tenant", required=False)
@click.option("--from", "first", type=_Day, help="A day (UTC); default: 30 days ago.")
@click.option("--to", "last", type=_Day, help="Included; default: today.")
@click.option("--by", type=click.Choice(["day,model", "day", "model", "none"]), default="day,model",
              show_default=True)  # fmt: skip
def usage_command(
    tenant: str | None, first: datetime | None, last: datetime | None, by: str
) -> None:
    """CSV of what one tenant, or each, used."""
    end = (last or datetime.now(UTC)).date()
    days = min(30, (end - date.min).days)
    begin = end - timedelta(days=days) if first is None else first.date()
    wanted = Wanted(begin, end, by_day="day" in by, by_model="model" in by, limit=_MOST)
    with database() as engine:
        names = {one.id: one.name for one in tenants.list_tenants(engine)}
        if tenant is None:
            lines = usage.of_all(engine, wanted)
        else:
            lines = usage.of_tenant(engine, tenants.find(engine, tenant), wanted)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(_COLUMNS)
    for line in lines:
        whose = tenant if line.tenant_id is None else names.get(line.tenant_id, line.tenant_id)
        model = "" if line.model is None else f"{line.model}@{line.version}"
        counts = [getattr(line, name) for name in _COLUMNS[3:]]
        out.writerow([whose, line.day or "", model, *counts])


@click.command("audit")
@click.option("--tenant", help="Of one tenant; default: everything.")
@click.option("--action", help="Such as key.create.")
@click.option("--limit", "-n", type=click.IntRange(1, 10_000), default=100, show_default=True)
def audit_command(tenant: str | None, action: str | None, limit: int) -> None:
    """The audit log, newest first: when, who, from where, what, of what, how."""
    page = Page(limit, action=action)
    with database() as engine:
        if tenant is None:
            entries = audit.of_all(engine, page)
        else:
            entries = audit.of_tenant(engine, tenants.find(engine, tenant), page)
    for entry in entries:
        who = entry.actor if entry.key_id is None else f"key {entry.key_id}"
        details = json.dumps(entry.details, ensure_ascii=False)
        at = entry.at.astimezone(UTC).isoformat(timespec="seconds")
        click.echo(f"{at}\t{who}\t{entry.address}\t{entry.action}\t{entry.target_id}\t{details}")
