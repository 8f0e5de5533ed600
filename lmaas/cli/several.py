"""Commands that take several ids: every one has its turn, and every refusal is told."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import click

from lmaas.cli.exits import OK, exit_code
from lmaas.cli.output import print_json
from lmaas.errors import LmaasError, ServerFailed, ServerUnreachable

T = TypeVar("T")


class Several:
    """One command on several ids. `code` is how to exit: as the first failure says."""

    def __init__(self) -> None:
        self.code = OK

    def each(self, ids: Iterable[str], do: Callable[[str], T]) -> Iterator[tuple[str, T]]:
        """Each id and what came of it, as it comes; what went wrong is told on stderr at once.

        A failure keeps no other id from its turn, but without a server there is no use
        in going on.
        """
        for id in ids:
            try:
                done = do(id)
            except LmaasError as error:
                self.code = self.code or exit_code(error)
                named = error.message if id in error.message else f"{id}: {error.message}"
                click.echo(f"lmaas: {named}", err=True)
                if isinstance(error, ServerUnreachable | ServerFailed):
                    return
            else:
                yield id, done


def erase_each(ids: Iterable[str], erase: Callable[[str], None], *, as_json: bool) -> int:
    """Erases all that can be and tells which were; how to exit."""
    several, erased = Several(), []
    for id, _ in several.each(ids, erase):
        erased.append(id)
        if not as_json:
            click.echo(f"{id}\terased")
    if as_json:
        print_json(erased)
    return several.code
