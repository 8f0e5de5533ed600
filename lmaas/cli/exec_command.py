"""`lmaas exec`: a command beside what `lmaas up` runs, with its settings."""

import os
import signal
import sys

import click

from lmaas.errors import LocalError
from lmaas.local import environment
from lmaas.local.checkout import find_checkout


# The first word ends our options: what follows it belongs to the command.
@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def exec_(command: tuple[str, ...]) -> None:
    """Run COMMAND with the settings of what `lmaas up` runs here, and exit as it does.

    For example `lmaas exec python -m api.tenants add acme`; `python` is the one that
    `lmaas` runs with. The settings, DATABASE_URL among them, are in COMMAND's
    environment only.
    """
    settings = environment.beside(find_checkout())
    program = sys.executable if command[0] == "python" else command[0]
    # Python ignores it, and what is executed would go on to.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(program, [program, *command[1:]], settings)  # noqa: S606  the caller's own
    except OSError as error:
        raise LocalError(f"{command[0]} cannot be run: {error.strerror}") from error
