"""`lmaas erase`: what a job was asked and what came out, gone for good."""

import click

from lmaas.cli.output import json_option, print_json, url_option
from lmaas.client import Client


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@url_option
@json_option
def erase(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Erase the input and the result of jobs that have ended.

    What they were, how they ended and what they used stays in lists.
    """
    with Client(url) as client:
        for job_id in job_ids:
            client.erase(job_id)
            if not as_json:
                click.echo(f"{job_id}\terased")
    if as_json:
        print_json(list(job_ids))
