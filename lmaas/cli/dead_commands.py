"""`lmaas dead`: jobs that killed their workers, with the evidence, and their replay."""

from itertools import islice

import click

from lmaas.answers import Job
from lmaas.cli.output import ago, console, print_json, print_table, server_options
from lmaas.client import Client
from lmaas.errors import BadUsage

POISONOUS = "poisonous"


def _letters(client: Client, model: str | None, limit: int) -> list[Job]:
    found = client.jobs(status="failed", error_code=POISONOUS, model=model, page=min(limit, 100))
    return list(islice(found, limit))


@click.group()
def dead() -> None:
    """Dead letters: jobs that were alone in the engine each time a worker died."""


@dead.command("ls")
@click.option("--model", "-m")
@click.option("--limit", "-n", type=click.IntRange(1), default=100, show_default=True)
@server_options
def ls(model: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """List dead letters, newest first."""
    with Client(url) as client:
        jobs = _letters(client, model, limit)
    if as_json:
        print_json(jobs)
        return
    rows = [(j.id, j.task, j.model, str(j.attempt), ago(j.timings.queued_at)) for j in jobs]
    print_table(("id", "task", "model", "attempts", "queued"), rows, "no dead letters")


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
@click.option("--all", "everything", is_flag=True, help="All dead letters, of --model if given.")
@click.option("--model", "-m")
@server_options
def replay(
    job_ids: tuple[str, ...], everything: bool, model: str | None, url: str | None, as_json: bool
) -> None:
    """Run dead letters again, after a fix, as new jobs."""
    if everything == bool(job_ids):
        raise BadUsage("name the jobs, or give --all")
    with Client(url) as client:
        ids = [job.id for job in _letters(client, model, 100_000)] if everything else job_ids
        jobs = [client.replay(id) for id in ids]
    if as_json:
        print_json(jobs)
        return
    for old, new in zip(ids, jobs, strict=True):
        click.echo(f"{old}\t{new.id}")
