"""`python -m api.bootstrap`: makes an API key without having one, for the first start.

Whoever may run it reaches the database anyway. Prints the key once.
"""

import sys

import click

from jobs import keys, tenants
from jobs.database import open_engine
from jobs.errors import LmaasError
from jobs.keys import Scope
from jobs.settings import load


@click.command()
@click.option("--tenant", default="default", show_default=True)
@click.option("--name", default="bootstrap", show_default=True, help="What the key is called.")
def main(tenant: str, name: str) -> None:
    """Make a key with all scopes for a tenant, and the tenant if need be."""
    try:
        engine = open_engine(load(), application="lmaas-bootstrap", connections=1)
        tenant_id = tenants.ensure(engine, tenant)
        _, secret = keys.create(engine, tenant_id, name, list(Scope))
        engine.dispose()
    except LmaasError as error:
        sys.exit(f"no key was made: {error.message}")
    click.echo(secret)


if __name__ == "__main__":
    main()
