"""`python -m api.tenants`: who there is, and how a busy model is shared between them.

For whoever runs the installation; a tenant's own keys cannot change its weight.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Engine

from jobs import tenants
from jobs.database import open_engine
from jobs.errors import LmaasError
from jobs.settings import load


@contextmanager
def _database() -> Iterator[Engine]:
    try:
        engine = open_engine(load(), application="lmaas-tenants", connections=1)
        yield engine
        engine.dispose()
    except LmaasError as error:
        sys.exit(error.message)


@click.group()
def main() -> None:
    """List tenants and set their weights."""


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


if __name__ == "__main__":
    main()
