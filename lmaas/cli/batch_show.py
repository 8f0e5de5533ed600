"""How a batch is shown to people."""

import click

from lmaas.batch_answers import Batch
from lmaas.cli.exits import JOB_ENDED_BADLY, OK
from lmaas.cli.output import ago, console, duration
from lmaas.client import Client
from lmaas.errors import LmaasError

_CANCELLED = "batch_cancelled"


def status_of(batch: Batch) -> str:
    """Its state, and what else stands over it."""
    marks = [batch.status]
    if batch.paused and not batch.ended:
        marks.append("paused")
    if batch.open and not batch.ended:
        marks.append("open")
    return ", ".join(marks)


def show(batch: Batch) -> None:
    """All that is known of it."""
    counts = batch.counts
    took = None
    if batch.ended_at and batch.created_at:
        took = (batch.ended_at - batch.created_at).total_seconds()
    rows = [
        ("id", batch.id),
        ("status", status_of(batch)),
        ("endpoint", f"{batch.endpoint}, priority {batch.priority}"),
        ("window", batch.completion_window),
        ("lines", f"{counts.total}: {counts.completed} completed, {counts.failed} failed"),
        ("created", ago(batch.created_at)),
        ("took", duration(took)),
        ("files", ", ".join(filter(None, (batch.output_file_id, batch.error_file_id))) or "-"),
    ]
    if batch.retry_of:
        rows.append(("retry of", batch.retry_of))
    rows += [("metadata", f"{name}={value}") for name, value in batch.metadata.items()]
    for error in batch.errors:
        where = f"line {error.line}: " if error.line is not None else ""
        rows.append(("error", f"{where}{error.message} ({error.code})"))
    for name, value in rows:
        console().print(f"{name:<10}{value}", markup=False)
    if batch.report is not None:
        show_report(batch)


def show_report(batch: Batch) -> None:
    """What a dry run found out."""
    report = batch.report or {}
    shown = console()
    shown.print(f"{'lines':<14}{report.get('lines', 0)}")
    shown.print(f"{'prompt tokens':<14}{report.get('prompt_tokens', 0)}")
    shown.print(f"{'most tokens':<14}{report.get('max_tokens', 0)} of completion")
    left_s = report.get("predicted_s")
    shown.print(f"{'would take':<14}{duration(left_s) if left_s else 'not known'}")
    if quota := report.get("quota"):
        fits = "yes" if quota["fits"] else "no: it is read on as there is room"
        shown.print(f"{'within limits':<14}{fits}")
    shown.print(f"{'refused':<14}{report.get('refused', 0)}")
    for error in report.get("errors") or ():
        shown.print(f"  line {error['line']}: {error['message']} ({error['code']})", markup=False)


def outcome(client: Client, batch: Batch) -> int:
    """The exit code of a batch that has ended, and a word on what to do next."""
    counts = batch.counts
    if batch.status == "completed" and not counts.failed:
        return OK
    click.echo(
        f"{batch.id} {batch.status}: {counts.completed} of {counts.total} lines have a result"
        + (_advice(client, batch) if counts.failed else ""),
        err=True,
    )
    for error in batch.errors:
        click.echo(f"  {error.message} ({error.code})", err=True)
    return JOB_ENDED_BADLY


def _advice(client: Client, batch: Batch) -> str:
    """What a retry would run, looked for until there is something; else where to read why."""
    if batch.error_file_id is None:
        return ""
    cancelled = False
    try:
        for custom_id, error in client.batches.errors(batch):
            if custom_id is None:  # cannot be told from others: no retry runs it
                continue
            if error.code != _CANCELLED:
                return f"; `lmaas batch retry {batch.id}` runs those that failed again"
            cancelled = True
    except LmaasError:
        return ""  # its errors are gone or out of reach: nothing can be promised of them
    if cancelled:
        return (f"; `lmaas batch retry {batch.id} --code {_CANCELLED}` runs those that "
                "were cancelled")  # fmt: skip
    return f"; `lmaas files get {batch.error_file_id}` says why the others have none"
