"""JSON lines: one object in each line; blank lines are passed over."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from lmaas.errors import BadUsage
from lmaas.line_ends import json_line
from lmaas.tables.table import Answer, Row, complete


class JsonLinesTable:
    """See the module. Rows may differ in their columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: Sequence[str] | None = None

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        """See `Table`. Raises `BadUsage` with the line's number."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise BadUsage(f"{self.path}, line {number} is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise BadUsage(f"{self.path}, line {number} is no JSON object")
                yield row

    def join(
        self, target: Path, added: Mapping[str, type], wanted: Collection[str], answer: Answer
    ) -> int:
        """See `Table`."""
        number = 0
        with complete(target) as draft, draft.open("w", encoding="utf-8") as file:
            for number, row in enumerate(self.rows(), 1):
                taken = sorted(set(row) & set(added))
                if taken:
                    raise BadUsage(f"{self.path}, row {number} already has {taken[0]!r}; "
                                   "choose another name for the results")  # fmt: skip
                joined = {**row, **answer(number, row)}
                file.write(json_line(joined) + "\n")
        return number
