"""`lmaas erase`: what a job was asked and what came out, gone for good."""

import click

from lmaas.cli.output import json_option, url_option
from lmaas.cli.several import erase_each
from lmaas.client import Client


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@url_option
@json_option
def erase(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> int:
    """Erase the input and the result of jobs that have ended.

    What they were, how they ended and what they used stays in lists.
    """
    with Client(url) as client:
        return erase_each(job_ids, client.erase, as_json=as_json)
