"""`lmaas embed`: texts in, a vector a line out."""

import io
import json

import click

from lmaas.cli.job_input import default_model, read_prompt
from lmaas.cli.output import print_json, server_options
from lmaas.client import Client


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--model", "-m", help="Name, name@version or alias; default: LMAAS_MODEL.")
@click.option(
    "--normalize/--no-normalize", default=None, help="Vectors of length 1; else as the model does."
)
@click.option("--timeout", "timeout_s", type=float, metavar="S", help="Wait S seconds at most.")
@server_options
def embed(
    texts: tuple[str, ...],
    model: str | None,
    normalize: bool | None,
    timeout_s: float | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Make a vector of each TEXT, or of each line of standard input; one JSON list a line.

    With --json one list of all of them.
    """
    given = texts or _lines(read_prompt(None))
    if not given:
        raise click.UsageError("give a TEXT, or lines on standard input")
    with Client(url) as client:
        vectors = client.embed(
            given, model=model or default_model(), normalize=normalize, timeout_s=timeout_s
        )
    if as_json:
        print_json(vectors)
        return
    for vector in vectors:
        click.echo(json.dumps(vector))


def _lines(text: str) -> tuple[str, ...]:
    """One text a line; a text may hold what `str.splitlines` takes for an end."""
    return tuple(line.removesuffix("\n") for line in io.StringIO(text, newline=None))
