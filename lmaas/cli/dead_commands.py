"""`lmaas dead`: jobs that killed their workers, with the evidence, and their replay."""

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import TypeVar

import click

from lmaas.answers import Replay
from lmaas.cli.moments import time_past
from lmaas.cli.output import ago, console, print_json, print_table, server_options
from lmaas.cli.several import Several
from lmaas.client import Client
from lmaas.envelope import Selected
from lmaas.errors import BadUsage

POISONOUS = "poisonous"
ANY = "any"
F = TypeVar("F", bound=Callable[..., object])

_FILTERS = (
    click.option("--model", "-m", help="Name or name@version."),
    click.option(
        "--error-code", default=POISONOUS, show_default=True, metavar="CODE",
        help="Failed jobs of this code; `any` for all of them.",
    ),
    click.option(
        "--since", type=time_past, metavar="TIME", help="Ended since then: RFC 3339, or 2h, 3d ago."
    ),
    click.option("--until", type=time_past, metavar="TIME", help="Ended before then."),
    click.option("--worker", metavar="ID", help="Ran on this worker, if only once."),
)  # fmt: skip


def _filters(command: F) -> F:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _selection(
    model: str | None,
    error_code: str,
    since: datetime | None,
    until: datetime | None,
    worker: str | None,
) -> dict[str, Selected]:
    return {
        "status": "failed",
        "model": model,
        "error_code": None if error_code == ANY else error_code,
        "ended_since": since,
        "ended_until": until,
        "worker": worker,
    }


@click.group()
def dead() -> None:
    """Dead letters: jobs that were alone in the engine each time a worker died."""


@dead.command("ls")
@_filters
@click.option("--limit", "-n", type=click.IntRange(1), default=100, show_default=True)
@server_options
def ls(
    model: str | None,
    error_code: str,
    since: datetime | None,
    until: datetime | None,
    worker: str | None,
    limit: int,
    url: str | None,
    as_json: bool,
) -> None:
    """List dead letters, newest first."""
    chosen = _selection(model, error_code, since, until, worker)
    with Client(url) as client:
        jobs = list(islice(client.jobs(page=min(limit, 100), **chosen), limit))
    if as_json:
        print_json(jobs)
        return
    rows = [
        (j.id, j.task, j.model, str(j.attempt), ago(j.timings.finished_at),
         j.error.code if j.error else "-")
        for j in jobs
    ]  # fmt: skip
    columns = ("id", "task", "model", "attempts", "ended", "error")
    print_table(columns, rows, "no dead letters")


@dead.command("show")
@click.argument("job_id")
@server_options
def show(job_id: str, url: str | None, as_json: bool) -> None:
    """Show a dead letter's evidence: every attempt, its worker, and how it ended."""
    with Client(url) as client:
        job, attempts = client.get(job_id), client.attempts(job_id)
    if as_json:
        print_json({"job": job, "attempts": attempts})
        return
    error = "" if job.error is None else f": {job.error.message} ({job.error.code})"
    console().print(f"{job.id} is {job.status}{error}", markup=False)
    rows = [
        (str(a.attempt), a.worker or "", ago(a.started_at), a.outcome or "", a.reason or "")
        for a in attempts
    ]
    print_table(("attempt", "worker", "started", "led to", "reason"), rows, "it never ran")


@dead.command("replay")
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID...]")
@click.option("--all", "everything", is_flag=True, help="All that the filters mean.")
@_filters
@click.option("--dry-run", is_flag=True, help="Only say which (up to 1,000).")
@server_options
def replay(
    job_ids: tuple[str, ...],
    everything: bool,
    model: str | None,
    error_code: str,
    since: datetime | None,
    until: datetime | None,
    worker: str | None,
    dry_run: bool,
    url: str | None,
    as_json: bool,
) -> int:
    """Run dead letters again, after a fix, as new jobs.

    With --all those that were replayed before are passed over; a job that is
    named is replayed in any case.
    """
    if everything and job_ids:
        raise BadUsage("name the jobs or give --all: one or the other, not both")
    if not everything and (dry_run or not job_ids):
        raise BadUsage("name the jobs, or give --all (and --dry-run to see which)")
    several, chosen = Several(), _selection(model, error_code, since, until, worker)
    with Client(url) as client:
        if everything:
            done = client.replay_many(dry_run=dry_run, **chosen)
        else:
            done = [Replay(id, new.id) for id, new in several.each(job_ids, client.replay)]
    if as_json:
        print_json(done)
        return several.code
    for pair in done:
        click.echo(pair.id if pair.new_id is None else f"{pair.id}\t{pair.new_id}")
    if everything:
        verb = "would be replayed" if dry_run else "replayed"
        click.echo(f"{len(done)} jobs {verb}", err=True)
    return several.code
