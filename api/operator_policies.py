"""`python -m api.tenants limits` and `retain`: what a tenant may have, and for how long."""

from dataclasses import asdict

import click

from api.operator_commands import database
from jobs import retention, tenants
from jobs.quotas import limits
from jobs.quotas.limits import NAMES
from jobs.retention import Retention

_MOST = 10**15
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_S = 100 * 365 * 86_400


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


def _limit_options(command: click.decorators.FC) -> click.decorators.FC:
    for name in reversed(NAMES):
        option = click.option(f"--{name.replace('_', '-')}", name, type=_Limit())
        command = option(command)
    return command


@click.command("limits")
@click.argument("name")
@_limit_options
def limits_command(name: str, **given: int | None) -> None:
    """Show a tenant's limits, after changing those that are given."""
    changes = {key: None if n == -1 else n for key, n in given.items() if n is not None}
    with database() as engine:
        now = limits.change(engine, name, changes) if changes else limits.read(engine, name)
    for limit, most in asdict(now).items():
        click.echo(f"{limit}\t{'none' if most is None else most}")


def kept(text: str) -> int:
    """Seconds of `30d`, `12h`, `90m` or `60s`; 0 for `keep`."""
    if text == "keep":
        return 0
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _UNITS or not 0 < int(number) <= _LONGEST_S:
        raise click.BadParameter(f"{text!r} is no time such as 30d, 12h, 90m, 60s, or keep")
    return min(int(number) * _UNITS[unit], _LONGEST_S)


@click.command("retain")
@click.argument("name")
@click.option("--results", type=kept, metavar="TIME", help="From a job's end on: 30d, 12h, keep.")
@click.option("--files", type=kept, metavar="TIME", help="From a file's creation on.")
def retain_command(name: str, results: int | None, files: int | None) -> None:
    """Erase a tenant's results and files after a time; `keep` keeps them.

    What is left out stays as it is. Without options it only says what is.
    """
    with database() as engine:
        tenants.find(engine, name)
        now = retention.of_tenant(engine, name) or Retention(None, None)
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
