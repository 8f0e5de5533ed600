"""Results beside the rows that they came from, both read once and in order.

The lines of a batch come in the order of its input, so no row has to be kept:
fifty thousand are joined in the memory of one. Batches of retried lines have
some of the same ids in the same order, and their results take precedence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmaas.batch_answers import BatchLine
from lmaas.batch_lines import row_id
from lmaas.errors import BadUsage
from lmaas.tables.table import Row

PENDING = "pending"


def added_columns(name: str) -> dict[str, type]:
    """The columns that a join adds, and their types."""
    return {
        name: str,
        f"{name}_status": str,
        f"{name}_error": str,
        f"{name}_prompt_tokens": int,
        f"{name}_completion_tokens": int,
    }


@dataclass(slots=True)
class Join:
    """The values of the added columns, row by row. The first of `sources` holds
    a line for each row; the others are retries of some."""

    sources: Sequence[Iterator[BatchLine]]
    id_column: str | None
    name: str = "result"
    pending: int = 0
    failed: int = 0
    _heads: list[BatchLine | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._heads = [next(source, None) for source in self.sources]

    @property
    def left_over(self) -> bool:
        """Whether a batch had lines for which there was no row."""
        return any(head is not None for head in self._heads)

    def answer(self, number: int, row: Row) -> Mapping[str, Any]:
        """The values for a row. Raises `BadUsage` if the batch had other rows."""
        wanted = row_id(number, row, self.id_column)
        found: BatchLine | None = None
        for index, head in enumerate(self._heads):
            if head is None:
                continue
            if head.custom_id == wanted or (index == 0 and not head.custom_id):
                found = head
                self._heads[index] = next(self.sources[index], None)
            elif index == 0:
                raise BadUsage(
                    f"row {number} is {wanted!r}, but line {head.line} of the batch is "
                    f"{head.custom_id!r}: is it the file that was submitted?"
                )
        return self._values(found)

    def _values(self, line: BatchLine | None) -> Mapping[str, Any]:
        if line is None:
            self.pending += 1
            values: tuple[object, ...] = (None, PENDING, None, None, None)
        else:
            self.failed += not line.ok
            error = line.error.code if line.error else None
            values = (line.text, line.status, error, *line.usage)
        return dict(zip(added_columns(self.name), values, strict=True))
