"""`python -m api.tenants`: tenants, what they may, keep and used, and the audit log.

For whoever runs the installation; a tenant's own keys change none of this but its keys.
"""

import math

import click

from api.operator_commands import database, keys_commands
from api.operator_policies import limits_command, retain_command
from api.operator_reports import audit_command, usage_command
from jobs import tenants


@click.group()
def main() -> None:
    """Tenants: shares, limits, retention, keys, usage, and the audit log."""


@main.command("ls")
def list_() -> None:
    """Name, weight and id of every tenant."""
    with database() as engine:
        for tenant in tenants.list_tenants(engine):
            click.echo(f"{tenant.name}\t{tenant.weight:g}\t{tenant.id}")


@main.command()
@click.argument("name")
def add(name: str) -> None:
    """Make a tenant, and print its id; one that is there stays as it is."""
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise click.BadParameter("a tenant's name has 1 to 64 printable characters")
    with database() as engine:
        click.echo(str(tenants.ensure(engine, name)))


@main.command()
@click.argument("name")
@click.argument("value", type=click.FloatRange(0.001, 1000))
def weight(name: str, value: float) -> None:
    """Give a tenant that many times the share of one with weight 1."""
    if math.isnan(value):  # lies outside of no range
        raise click.BadParameter("a weight is a number from 0.001 to 1000")
    with database() as engine:
        tenants.set_weight(engine, name, value)
    click.echo(f"{name} has weight {value:g} from the next release on")


for command in (limits_command, retain_command, keys_commands, usage_command, audit_command):
    main.add_command(command)

if __name__ == "__main__":
    main()
