"""Commands on files."""

import shutil
import sys
import tempfile
from itertools import islice
from typing import BinaryIO, cast

import click

from lmaas.cli.output import (
    ago,
    json_option,
    print_json,
    print_table,
    server_options,
    size,
    url_option,
)
from lmaas.cli.several import erase_each
from lmaas.client import Client
from lmaas.errors import BadUsage
from lmaas.files import File

_SPANS = {"h": 3_600, "d": 86_400}


@click.group()
def files() -> None:
    """Files: bring, list, fetch, erase."""


@files.command()
@click.argument("path", type=click.Path(allow_dash=True))
@click.option("--purpose", default="batch", show_default=True,
              help="batch, user_data, evals or fine-tune.")  # fmt: skip
@click.option("--name", help="The file's name on the server; default: the path's.")
@click.option("--expires-after", metavar="SPAN", help="1h to 30d; default: it stays.")
@server_options
def put(
    path: str,
    purpose: str,
    name: str | None,
    expires_after: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Bring the file PATH (`-`: standard input) and print its id."""
    life_s = None if expires_after is None else _seconds(expires_after)
    with Client(url) as client:
        if path == "-":
            with _kept_input() as spool:
                file = client.files.put(
                    spool, purpose=purpose, filename=name or "stdin", expires_after_s=life_s
                )
        else:
            file = client.files.put(path, purpose=purpose, filename=name, expires_after_s=life_s)
    if as_json:
        print_json(file)
    else:
        click.echo(file.id)


def _kept_input() -> BinaryIO:
    """Standard input as a file that can be sent twice."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115  closed by the caller
    shutil.copyfileobj(sys.stdin.buffer, spool)
    spool.seek(0)
    return cast("BinaryIO", spool)


def _seconds(span: str) -> int:
    number, unit = span[:-1], span[-1:]
    if not number.isdecimal() or unit not in _SPANS:
        raise BadUsage(f"--expires-after {span!r} is no span such as 12h or 7d")
    return int(number) * _SPANS[unit]


@files.command()
@click.option("--purpose", help="Only those.")
@click.option("--limit", "-n", type=click.IntRange(1), default=100, show_default=True)
@server_options
def ls(purpose: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """List files, newest first."""
    with Client(url) as client:
        found = list(islice(client.files.ls(purpose=purpose), limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (file.id, _shown(file), file.purpose, size(file.size_bytes), ago(file.created_at),
         "never" if file.expires_at is None else f"{file.expires_at:%Y-%m-%d %H:%M}")
        for file in found
    ]  # fmt: skip
    columns = ("id", "name", "purpose", "size", "created", "expires")
    print_table(columns, rows, "no files; `lmaas files put PATH` brings one")


def _shown(file: File) -> str:
    """A name as a terminal may show it: whoever chose it does not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in file.filename)


@files.command()
@click.argument("file_id")
@click.option("--out", "-o", type=click.Path(dir_okay=False), help="Default: standard output.")
@url_option
def get(file_id: str, out: str | None, url: str | None) -> None:
    """Fetch a file's bytes."""
    with Client(url) as client:
        if out is not None:
            client.files.get(file_id, out)
        else:
            client.files.get(file_id, sys.stdout.buffer)
            sys.stdout.buffer.flush()


@files.command()
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@url_option
@json_option
def rm(file_ids: tuple[str, ...], url: str | None, as_json: bool) -> int:
    """Erase files."""
    with Client(url) as client:
        return erase_each(file_ids, client.files.rm, as_json=as_json)
