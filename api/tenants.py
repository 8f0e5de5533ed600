"""`python -m api.tenants`: who there is, and how a busy model is shared between them.

For whoever runs the installation; a tenant's own keys cannot change its weight.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Engine

from jobs import retention, tenants
from jobs.database import open_engine
from jobs.errors import LmaasError
from jobs.retention import Retention
from jobs.settings import load


@contextmanager
def _database() -> Iterator[Engine]:
    try:
        engine = open_engine(load(), application="lmaas-tenants", connections=1)
        try:
            yield engine
        finally:
            engine.dispose()
    except LmaasError as error:
        sys.exit(error.message)


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_S = 100 * 365 * 86_400


def kept(text: str) -> int:
    """Seconds of `30d`, `12h`, `90m` or `60s`; 0 for `keep`."""
    if text == "keep":
        return 0
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _UNITS or not 0 < int(number) <= _LONGEST_S:
        raise click.BadParameter(f"{text!r} is no time such as 30d, 12h, 90m, 60s, or keep")
    return min(int(number) * _UNITS[unit], _LONGEST_S)


@click.group()
def main() -> None:
    """List tenants; set their weights, and how long what is theirs is kept."""


@main.command("ls")
def list_() -> None:
    """Name, weight and id of every tenant."""
    with _database() as engine:
        for tenant in tenants.list_tenants(engine):
            click.echo(f"{tenant.name}\t{tenant.weight:g}\t{tenant.id}")


@main.command()
@click.argument("name")
@click.argument("value", type=click.FloatRange(0.001, 1000))
def weight(name: str, value: float) -> None:
    """Give a tenant that many times the share of one with weight 1."""
    with _database() as engine:
        if not tenants.set_weight(engine, name, value):
            sys.exit(f"there is no tenant {name!r}; `python -m api.tenants ls` shows all")
    click.echo(f"{name} has weight {value:g} from the next release on")


@main.command()
@click.argument("name")
@click.option("--results", type=kept, metavar="TIME", help="From a job's end on: 30d, 12h, keep.")
@click.option("--files", type=kept, metavar="TIME", help="From a file's creation on.")
def retain(name: str, results: int | None, files: int | None) -> None:
    """Erase a tenant's results and files after a time; `keep` keeps them.

    What is left out stays as it is. Without options it only says what is.
    """
    with _database() as engine:
        now = retention.of_tenant(engine, name)
        if now is None:
            sys.exit(f"there is no tenant {name!r}; `python -m api.tenants ls` shows all")
        wanted = Retention(
            now.results_s if results is None else results or None,
            now.files_s if files is None else files or None,
        )
        if wanted != now:
            retention.set_retention(engine, name, wanted)
    click.echo(f"{name} keeps results {_said(wanted.results_s)}, files {_said(wanted.files_s)}")


def _said(seconds: int | None) -> str:
    if seconds is None:
        return "until they are deleted"
    unit = max(
        (unit for unit, size in _UNITS.items() if seconds % size == 0), key=_UNITS.__getitem__
    )
    return f"for {seconds // _UNITS[unit]}{unit}"


if __name__ == "__main__":
    main()
