"""`python -m api.tenants`: tenants, their shares, limits, keys and usage, and the audit log.

For whoever runs the installation; a tenant's own keys change none of this but its keys.
"""

import click

from api.operator_commands import database, keys_commands, show_limits
from api.operator_reports import audit_command, usage_command
from jobs import tenants
from jobs.quotas import limits as quotas
from jobs.quotas.limits import NAMES

_MOST = 10**15


class _Limit(click.ParamType[int]):
    """A number, or `none` for no limit."""

    name = "NUMBER|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """-1 stands for `none`, since None is an option that was not given."""
        if value in ("none", -1):
            return -1
        if str(value).isdecimal() and int(str(value)) <= _MOST:
            return int(str(value))
        return self.fail(f"{value!r} is neither a number up to {_MOST:,} nor none", param, ctx)


@click.group()
def main() -> None:
    """Tenants, their shares, limits, keys and usage, and the audit log."""


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
    with database() as engine:
        tenants.set_weight(engine, name, value)
    click.echo(f"{name} has weight {value:g} from the next release on")


def _limit_options(command: click.decorators.FC) -> click.decorators.FC:
    for name in reversed(NAMES):
        option = click.option(f"--{name.replace('_', '-')}", name, type=_Limit())
        command = option(command)
    return command


@main.command("limits")
@click.argument("name")
@_limit_options
def limits_command(name: str, **given: int | None) -> None:
    """Show a tenant's limits, after changing those that are given."""
    changes = {key: None if n == -1 else n for key, n in given.items() if n is not None}
    with database() as engine:
        if changes:
            show_limits(quotas.change(engine, name, changes))
        else:
            show_limits(quotas.read(engine, name))


main.add_command(keys_commands)
main.add_command(usage_command)
main.add_command(audit_command)

if __name__ == "__main__":
    main()
