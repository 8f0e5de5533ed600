"""What every format can do."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lmaas.errors import BadUsage

Row = Mapping[str, Any]
# The values of the added columns for a row, by its number (from 1) and itself.
Answer = Callable[[int, Row], Row]


class Table(Protocol):
    """A file of rows. `columns` is None where rows differ in theirs (JSON lines)."""

    path: Path
    columns: Sequence[str] | None

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        """The rows in order; of `wanted` columns at least. Raises `BadUsage`."""
        ...

    def join(
        self, target: Path, added: Mapping[str, type], wanted: Collection[str], answer: Answer
    ) -> int:
        """Writes all rows with the columns that they have and `added` ones to
        `target`, in this format; the file appears when it is complete. Returns
        the number of rows."""
        ...


def require_columns(table: Table, wanted: Collection[str]) -> None:
    """Raises `BadUsage` if the table has not all of them."""
    missing = [] if table.columns is None else sorted(set(wanted) - set(table.columns))
    if missing:
        raise BadUsage(
            f"{table.path.name} has no column {', '.join(map(repr, missing))}, "
            f"only {', '.join(map(repr, table.columns or ()))}"
        )


def refuse_taken(table: Table, added: Collection[str]) -> None:
    """Raises `BadUsage` if a column of the table would be overwritten."""
    taken = sorted(set(added) & set(table.columns or ()))
    if taken:
        raise BadUsage(
            f"{table.path.name} already has a column {', '.join(map(repr, taken))}; "
            "choose another name for the results"
        )


@contextmanager
def complete(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` if all went well."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        draft.touch()
    except OSError as error:
        raise BadUsage(f"{target} cannot be written: {error.strerror}") from error
    try:
        yield draft
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
