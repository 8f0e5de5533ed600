"""`lmaas batch`: many requests under one id."""

from itertools import islice

import click

from lmaas.batch_answers import Batch
from lmaas.batch_lines import pairs, parsed
from lmaas.cli.batch_progress import watch
from lmaas.cli.batch_results import results
from lmaas.cli.batch_show import outcome, show, status_of
from lmaas.cli.batch_submit import append, submit
from lmaas.cli.job_commands import timeout_option
from lmaas.cli.output import ago, print_json, print_table, server_options
from lmaas.client import Client


@click.group()
def batch() -> None:
    """Many requests under one id, run when there is room."""


@batch.command()
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True)
@server_options
def ls(limit: int, url: str | None, as_json: bool) -> None:
    """List batches, newest first."""
    with Client(url) as client:
        found = list(islice(client.batches.ls(page=min(limit, 100)), limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (one.id, status_of(one), one.endpoint, f"{one.counts.ended}/{one.counts.total}",
         one.counts.failed, ago(one.created_at))
        for one in found
    ]  # fmt: skip
    head = ("id", "status", "endpoint", "ended", "failed", "created")
    print_table(head, rows, "no batches")


@batch.command("show")
@click.argument("batch_id")
@server_options
def show_command(batch_id: str, url: str | None, as_json: bool) -> None:
    """Show a batch as it is."""
    with Client(url) as client:
        seen = client.batches.get(batch_id)
    if as_json:
        print_json(seen)
    else:
        show(seen)


@batch.command()
@click.argument("batch_id")
@timeout_option
@server_options
def follow(batch_id: str, timeout_s: float | None, url: str | None, as_json: bool) -> int:
    """Show a batch until it has ended; Ctrl-C leaves it running."""
    with Client(url) as client:
        seen = watch(client, batch_id, timeout_s)
        if as_json:
            print_json(seen)
        return outcome(client, seen)


@batch.command()
@click.argument("batch_id")
@click.option("--line", metavar="CUSTOM_ID", help="Only this line.")
@server_options
def cancel(batch_id: str, line: str | None, url: str | None, as_json: bool) -> None:
    """Ask for the end of a batch, or of one of its lines; what is done stays done."""
    with Client(url) as client:
        if line is None:
            seen = client.batches.cancel(batch_id)
        else:
            seen = client.batches.cancel_line(batch_id, line)
    _tell(seen, as_json=as_json)


@batch.command()
@click.argument("batch_id")
@server_options
def pause(batch_id: str, url: str | None, as_json: bool) -> None:
    """Let no other line begin until `resume`; what runs ends."""
    with Client(url) as client:
        _tell(client.batches.pause(batch_id), as_json=as_json)


@batch.command()
@click.argument("batch_id")
@server_options
def resume(batch_id: str, url: str | None, as_json: bool) -> None:
    """Let the lines of a paused batch begin again."""
    with Client(url) as client:
        _tell(client.batches.resume(batch_id), as_json=as_json)


@batch.command()
@click.argument("batch_id")
@click.argument("priority", type=click.Choice(["batch", "normal", "interactive"]))
@server_options
def priority(batch_id: str, priority: str, url: str | None, as_json: bool) -> None:
    """Move the lines that wait to another class of work."""
    with Client(url) as client:
        _tell(client.batches.prioritize(batch_id, priority), as_json=as_json)


@batch.command()
@click.argument("batch_id")
@server_options
def close(batch_id: str, url: str | None, as_json: bool) -> None:
    """End the input of an open batch: it is over when its lines are."""
    with Client(url) as client:
        _tell(client.batches.close(batch_id), as_json=as_json)


@batch.command()
@click.argument("batch_id")
@click.option("--model", "-m", help="Another model for them.")
@click.option("--code", "codes", multiple=True, help="Only lines with this error; may be repeated.")
@click.option(
    "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Another field of the body."
)
@click.option("--follow", "following", is_flag=True, help="Show it until it has ended.")
@server_options
def retry(
    batch_id: str,
    model: str | None,
    codes: tuple[str, ...],
    sets: tuple[str, ...],
    following: bool,
    url: str | None,
    as_json: bool,
) -> int | None:
    """Run the lines that failed or expired again, as a new batch; print its id."""
    body = {name: parsed(text) for name, text in pairs(sets, "--set").items()}
    with Client(url) as client:
        made = client.batches.retry(batch_id, model=model, codes=codes, body=body)
        if not as_json:
            click.echo(made.id)
        if following:
            made = watch(client, made.id)
        if as_json:
            print_json(made)
        return outcome(client, made) if following else None


for command in (submit, append, results):
    batch.add_command(command)


def _tell(seen: Batch, *, as_json: bool) -> None:
    if as_json:
        print_json(seen)
    else:
        click.echo(f"{seen.id}\t{status_of(seen)}")
