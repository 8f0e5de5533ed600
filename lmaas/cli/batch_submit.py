"""`lmaas batch submit` and `append`: files in."""

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from lmaas.batch_answers import Batch
from lmaas.batch_lines import pairs
from lmaas.cli.batch_input import Source, recipe_options
from lmaas.cli.batch_progress import watch
from lmaas.cli.batch_results import ID_COLUMN
from lmaas.cli.batch_show import outcome, show, show_report
from lmaas.cli.output import print_json, server_options
from lmaas.client import Client

file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.command()
@file_argument
@recipe_options
@click.option("--window", default="24h", show_default=True, metavar="SPAN",
              help="Lines that have not begun by then expire: 30m, 24h, 7d.")  # fmt: skip
@click.option("--priority", type=click.Choice(["batch", "normal", "interactive"]))
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="May be given again.")
@click.option("--follow", "-f", is_flag=True, help="Show it until it has ended.")
@click.option("--dry-run", is_flag=True, help="Count and check only; nothing runs.")
@click.option("--open", "open_", is_flag=True, help="Take more lines later (append, close).")
@click.option("--dedupe", is_flag=True, help="Run equal deterministic lines once.")
@click.option("--again", is_flag=True, help="Even if the same was submitted before.")
@server_options
def submit(
    file: Path,
    window: str,
    priority: str | None,
    metadata: tuple[str, ...],
    follow: bool,
    dry_run: bool,
    open_: bool,
    dedupe: bool,
    again: bool,
    url: str | None,
    as_json: bool,
    **options: Any,
) -> int | None:
    """Submit FILE as a batch; print its id.

    FILE is CSV, TSV, JSONL or Parquet, a request for each row (--prompt, --map),
    or JSONL of request lines as OpenAI's API has them. Submitting the same again
    after an interruption finds the first batch and makes no second one.
    """
    source = Source(file, options)
    labels = pairs(metadata, "--metadata")
    if source.id_column:
        labels[ID_COLUMN] = source.id_column
    wish: dict[str, Any] = {"endpoint": source.endpoint, "completion_window": window}
    given = {"priority": priority, "dry_run": dry_run, "open": open_, "dedupe": dedupe}
    wish |= {name: value for name, value in given.items() if value}
    with Client(url) as client:
        batch = _send(client, source, wish | {"metadata": labels}, again=again)
        if not as_json:
            click.echo(batch.id)
        if follow or dry_run:
            batch = watch(client, batch.id)
        if as_json:
            print_json(batch)
        elif dry_run:
            show_report(batch)
        return outcome(client, batch) if follow else None


def _send(client: Client, source: Source, wish: dict[str, Any], *, again: bool) -> Batch:
    with source.opened() as (file, digest):
        # What is asked and of which lines: the same words mean the same batch.
        said = json.dumps([wish, digest], sort_keys=True).encode()
        key = None if again else f"submit-{hashlib.sha256(said).hexdigest()}"
        return client.batches.create(file, idempotency_key=key, **wish)


@click.command()
@click.argument("batch_id")
@file_argument
@recipe_options
@server_options
def append(batch_id: str, file: Path, url: str | None, as_json: bool, **options: Any) -> None:
    """Add the rows of FILE to an open batch; ids that it has already are passed over."""
    source = Source(file, options)
    with Client(url) as client, source.opened() as (lines, _):
        batch = client.batches.append(batch_id, (json.loads(line) for line in lines))
    if as_json:
        print_json(batch)
    else:
        show(batch)
