"""Commands on jobs."""

import sys
import time
from datetime import datetime
from itertools import islice

import click

from lmaas.answers import Job
from lmaas.cli.job_input import (
    chosen,
    conversation,
    default_model,
    metadata_of,
    parameters,
    read_prompt,
)
from lmaas.cli.moments import time_ahead
from lmaas.cli.output import (
    ago,
    console,
    duration,
    messages,
    print_json,
    print_table,
    server_options,
    took,
    written,
)
from lmaas.cli.several import Several
from lmaas.client import Client

timeout_option = click.option(
    "--timeout", "timeout_s", type=float, metavar="S", help="Wait S seconds at most."
)


@click.command()
@click.argument("prompt", required=False)
@click.option("--model", "-m", help="Name, name@version or alias; default: LMAAS_MODEL.")
@click.option("--chat", is_flag=True, help="The prompt is a user's message to a chat model.")
@click.option("--system", metavar="TEXT", help="A system message; implies --chat.")
@parameters
@click.option("--priority", type=click.Choice(["interactive", "normal", "batch"]))
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="May be given again.")
@click.option("--idempotency-key", metavar="KEY", help="The same key gives the same job.")
@click.option("--deadline", type=time_ahead, metavar="TIME", help="RFC 3339, or 90s, 2h from now.")
@click.option(
    "--refuse-unmeetable", is_flag=True, help="Do not take it if --deadline cannot be met."
)
@click.option("--webhook", metavar="URL", help="Where its end is told; see `lmaas webhooks`.")
@click.option("--wait", "-w", "waiting", is_flag=True, help="Wait and print the text.")
@timeout_option
@server_options
def submit(
    prompt: str | None,
    model: str | None,
    chat: bool,
    system: str | None,
    priority: str | None,
    metadata: tuple[str, ...],
    idempotency_key: str | None,
    deadline: datetime | None,
    refuse_unmeetable: bool,
    webhook: str | None,
    waiting: bool,
    timeout_s: float | None,
    url: str | None,
    as_json: bool,
    **settings: object,
) -> None:
    """Submit a job; print its id, or with --wait its text.

    PROMPT is read from standard input if it is `-` or missing.
    """
    text = read_prompt(prompt)
    messages_ = conversation(text, chat=chat, system=system)
    with Client(url) as client:
        job = client.submit(
            model=model or default_model(),
            prompt=None if messages_ else text,
            messages=messages_,
            priority=priority or "normal",
            metadata=metadata_of(metadata),
            idempotency_key=idempotency_key,
            deadline=deadline,
            refuse_unmeetable=refuse_unmeetable,
            webhook={"url": webhook} if webhook else None,
            **chosen(settings),
        )
        if waiting:
            _finish(client, job.id, timeout_s, as_json=as_json)
        elif as_json:
            print_json(job)
        else:
            click.echo(job.id)
            if sys.stdout.isatty():
                messages().print(f"`lmaas wait {job.id}` prints its text", style="dim")


def _finish(client: Client, job_id: str, timeout_s: float | None, *, as_json: bool) -> None:
    """Waits and prints; raises `JobEnded` for one that ended badly."""
    job = client.wait(job_id, timeout_s)
    if as_json:
        print_json(job)
    elif job.result is not None:
        click.echo(written(job.result))
    client.result(job)


@click.command()
@click.argument("job_id")
@click.option("--wait", "wait_s", type=click.IntRange(0, 60), default=0, metavar="S")
@server_options
def get(job_id: str, wait_s: int, url: str | None, as_json: bool) -> None:
    """Show a job as it is, or as it ends within --wait seconds."""
    with Client(url) as client:
        job = client.get(job_id, wait_s=wait_s)
    if as_json:
        print_json(job)
    else:
        _show(job)


def _show(job: Job) -> None:
    shown = console()
    rows = [
        ("id", job.id),
        ("status", job.status + (", cancel requested" if job.cancel_requested else "")),
        ("task", f"{job.task} on {job.model}, priority {job.priority}, attempt {job.attempt}"),
        ("queued", ago(job.timings.queued_at)),
        ("took", took(job.timings)),
    ]
    if job.batch is not None:
        rows.append(("batch", job.batch))
    rows += [("metadata", f"{name}={value}") for name, value in job.metadata.items()]
    if job.result is not None:
        usage = job.result.usage
        counts = f"{usage.prompt_tokens} prompt + {usage.completion_tokens} completion"
        rows.append(("tokens", f"{counts}, finished by {job.result.finish_reason}"))
    if job.error is not None:
        rows.append(("error", f"{job.error.message} ({job.error.code})"))
    for name, value in rows:
        shown.print(f"{name:<10}{value}", markup=False)
    if job.result is not None:
        shown.print(f"\n{written(job.result)}", markup=False)


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@timeout_option
@server_options
def wait(job_ids: tuple[str, ...], timeout_s: float | None, url: str | None, as_json: bool) -> int:
    """Wait for jobs to end and print their texts, in the order given."""
    several, until = Several(), None if timeout_s is None else time.monotonic() + timeout_s
    with Client(url) as client:

        def finish(job_id: str) -> None:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            _finish(client, job_id, left_s, as_json=as_json)

        list(several.each(job_ids, finish))
    return several.code


@click.command()
@click.option("--status", help="queued, running, succeeded, failed, cancelled or expired.")
@click.option("--model", "-m")
@click.option("--task")
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True)
@server_options
def ls(
    status: str | None,
    model: str | None,
    task: str | None,
    limit: int,
    url: str | None,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    with Client(url) as client:
        found = client.jobs(status=status, model=model, task=task, page=min(limit, 100))
        jobs = list(islice(found, limit))
    if as_json:
        print_json(jobs)
        return
    rows = [
        (
            job.id,
            job.status if job.erased_at is None else f"{job.status}, erased",
            job.task,
            job.model,
            ago(job.timings.queued_at),
            duration(job.timings.latency_s),
        )
        for job in jobs
    ]
    print_table(("id", "status", "task", "model", "queued", "took"), rows, "no jobs")
