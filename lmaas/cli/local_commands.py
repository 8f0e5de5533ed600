"""Commands on the servers and processes of this machine."""

import sys
import time

import click

from lmaas.cli.output import console, json_option, messages, print_json
from lmaas.cli.steps_shown import shown_steps
from lmaas.errors import StartFailed
from lmaas.local import control, report
from lmaas.local.checkout import Checkout, find_checkout
from lmaas.local.memory import Memory
from lmaas.local.plans import SMOLLM2, Options
from lmaas.local.report import Report


@click.command()
@click.option("--model", envvar="LMAAS_MODEL", default=SMOLLM2, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--device", envvar="LMAAS_DEVICE", default="auto", show_default=True, help="auto, cpu, cuda:N."
)
@click.option("--with-flower/--no-flower", "flower", default=True, help="Flower on loopback.")
@click.option("--foreground", is_flag=True, help="Stay; Ctrl-C stops everything.")
@json_option
def up(model: str, workers: int, device: str, flower: bool, foreground: bool, as_json: bool) -> int:
    """Start Postgres, Valkey and all processes; print addresses and key.

    DATABASE_URL and REDIS_URL name servers to use instead of starting some.
    """
    checkout = find_checkout()
    options = Options(model, workers, device, flower)
    ran = report.supervisor_lives(checkout)
    if foreground:
        return _stay(checkout, options)
    begun = time.monotonic()
    with shown_steps() as tell:
        try:
            seen = control.up(checkout, options, tell)
        except KeyboardInterrupt:
            if not ran:
                control.down(checkout, tell)
            raise
    took_s = time.monotonic() - begun
    if as_json:
        print_json(_facts(checkout, seen, already=ran))
    else:
        _greet(checkout, seen, already=ran, took_s=took_s)
    return 0


def _stay(checkout: Checkout, options: Options) -> int:
    from lmaas.local.supervisor import Supervisor

    checkout.prepare()
    err = messages()

    def tell(step: str) -> None:
        err.print(step, markup=False)
        seen = report.read(checkout.report_file)
        if step == "ready" and seen is not None:
            _greet(checkout, seen, already=False, took_s=seen.ready_after_s or 0)

    with report.supervisor_lock(checkout) as mine:
        if not mine:
            raise StartFailed("it runs already: `lmaas status` tells, `lmaas down` stops it")
        return Supervisor(checkout, options, tell).run()


def _facts(checkout: Checkout, seen: Report, *, already: bool) -> dict[str, object]:
    memory = Memory.read(checkout.memory_file) or Memory()
    return {
        "already_running": already,
        "model": memory.default_model,
        "addresses": seen.addresses,
        "api_key": memory.api_key,
        "flower_user": "lmaas" if "flower" in seen.addresses else None,
        "flower_password": memory.flower_password if "flower" in seen.addresses else None,
        "ready_after_s": seen.ready_after_s,
        "notes": list(seen.notes),
    }


def _greet(checkout: Checkout, seen: Report, *, already: bool, took_s: float) -> None:
    memory = Memory.read(checkout.memory_file) or Memory()
    out = console()
    if already:
        out.print("LMaaS is already running here.", style="bold")
    else:
        out.print(f"LMaaS is up after {took_s:.1f} s.", style="bold")
    rows = [
        ("API", seen.addresses.get("api")),
        ("docs", f"{seen.addresses.get('docs')} (any user name, the API key as password)"),
        ("API key", memory.api_key),
        ("model", memory.default_model),
    ]
    if "flower" in seen.addresses:
        login = f"(user lmaas, password {memory.flower_password})"
        rows.append(("Flower", f"{seen.addresses['flower']} {login}"))
    rows.append(("logs", str(checkout.logs)))
    for name, value in rows:
        out.print(f"  {name:<8} {value}", markup=False)
    for note in seen.notes:
        out.print(f"  note     {note}", markup=False)
    lmaas = sys.argv[0]
    out.print(f'Try:  {lmaas} submit --chat --wait "What is a queue?"', markup=False)
    out.print(f"Stop: {lmaas} down", markup=False)


@click.command()
@json_option
def down(as_json: bool) -> None:
    """Stop everything in order; queued jobs stay and go on at the next start."""
    checkout = find_checkout()
    begun = time.monotonic()
    with shown_steps() as tell:
        stopped = control.down(checkout, tell)
    if as_json:
        print_json({"stopped": stopped})
    elif stopped:
        click.echo(f"LMaaS is down after {time.monotonic() - begun:.1f} s; nothing was lost.")
    else:
        click.echo("nothing runs here")
