"""`lmaas cancel`: the end of jobs, asked for."""

import click

from lmaas.cli.output import json_option, print_json, url_option
from lmaas.cli.several import Several
from lmaas.client import Client


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@url_option
@json_option
def cancel(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> int:
    """Ask for the end of jobs; one that has ended is not changed."""
    several, jobs = Several(), []
    with Client(url) as client:
        for _, job in several.each(job_ids, client.cancel):
            jobs.append(job)
            if not as_json:
                asked = "" if job.ended else ", cancel requested"
                click.echo(f"{job.id}\t{job.status}{asked}")
    if as_json:
        print_json(jobs)
    return several.code
