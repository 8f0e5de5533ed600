"""What the operator's commands share, and those on keys of any tenant."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click
from sqlalchemy import Engine

from jobs import keys, tenants
from jobs.database import open_engine
from jobs.errors import LmaasError
from jobs.keys import Scope
from jobs.settings import load


@contextmanager
def database() -> Iterator[Engine]:
    """A connection; what goes wrong is one sentence and status 1."""
    try:
        engine = open_engine(load(), application="lmaas-tenants", connections=1)
        try:
            yield engine
        finally:
            engine.dispose()
    except LmaasError as error:
        sys.exit(error.message)


@click.group("keys")
def keys_commands() -> None:
    """Keys of any tenant, with any scope."""


@keys_commands.command("ls")
@click.argument("tenant")
def list_keys(tenant: str) -> None:
    """Id, name, prefix, scopes and last use of a tenant's keys."""
    with database() as engine:
        for key in keys.list_keys(engine, tenants.find(engine, tenant)):
            ends = "revoked" if key.revoked_at else key.expires_at or "never"
            used = key.last_used_at or "never"
            scopes = " ".join(key.scopes)
            click.echo(f"{key.id}\t{key.name}\t{key.prefix}...\t{scopes}\t{used}\t{ends}")


@keys_commands.command("create")
@click.argument("tenant")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice([s.value for s in Scope]),
              help="May be given again; default: all but models:write.")  # fmt: skip
@click.option("--days", type=click.IntRange(1, 3_650), help="It ends after so many.")
def create_key(tenant: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a key and print it; it is shown this one time."""
    chosen = [Scope(s) for s in scopes] or [s for s in Scope if s is not Scope.MODELS_WRITE]
    ends = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with database() as engine:
        click.echo(keys.create(engine, tenants.find(engine, tenant), name, chosen, ends)[1])


@keys_commands.command("revoke")
@click.argument("tenant")
@click.argument("key_id", type=click.UUID)
def revoke_key(tenant: str, key_id: UUID) -> None:
    """End a key; it may work two seconds longer."""
    with database() as engine:
        keys.revoke(engine, tenants.find(engine, tenant), key_id)
    click.echo(f"{key_id}\trevoked")
