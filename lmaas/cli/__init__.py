"""The command `lmaas`: words in, sentences or JSON out, an exit code that means something."""

import os
import sys

import click

from lmaas.cli.batch_commands import batch
from lmaas.cli.cancel_command import cancel
from lmaas.cli.dead_commands import dead
from lmaas.cli.demo import demo
from lmaas.cli.embed_command import embed
from lmaas.cli.erase_command import erase
from lmaas.cli.exec_command import exec_
from lmaas.cli.exits import EPILOG, OK, exit_code
from lmaas.cli.explain_command import explain
from lmaas.cli.file_commands import files
from lmaas.cli.job_commands import get, ls, submit, wait
from lmaas.cli.local_commands import down, up
from lmaas.cli.status import status
from lmaas.cli.store_commands import keys, models
from lmaas.cli.tenant_commands import audit, usage
from lmaas.cli.webhook_commands import webhooks
from lmaas.errors import LmaasError
from lmaas.version import __version__


class _Commands(click.Group):
    def invoke(self, context: click.Context) -> object:
        """Here, as Click would end with 1, which says that a job ended badly."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            # Whoever read our output has enough; nothing is wrong, and nothing more is said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lmaas")
def cli() -> None:
    """Language models as a service: submit a job, get an id at once, collect the result later.

    The server is the one of LMAAS_URL (its key in LMAAS_API_KEY), or the one
    that `lmaas up` started in this checkout.
    """


for command in (
    up, down, status, exec_, demo, submit, embed, get, wait, ls, explain, cancel, erase,
    batch, files, dead, models, keys, usage, audit, webhooks,
):  # fmt: skip
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits; an error is one sentence on stderr."""
    try:
        code = cli.main(arguments, prog_name="lmaas", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except LmaasError as error:
        click.echo(f"lmaas: {error.message}", err=True)
        sys.exit(exit_code(error))
    sys.exit(code if isinstance(code, int) else 0)
