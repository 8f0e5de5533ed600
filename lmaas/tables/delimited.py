"""CSV and TSV, by the standard library. Every value is a text."""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmaas.errors import BadUsage
from lmaas.tables.table import Answer, Row, complete, refuse_taken

_MOST_CHARACTERS_OF_A_FIELD = 64_000_000


class DelimitedTable:
    """See the module."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self.path = path
        self._delimiter = delimiter
        csv.field_size_limit(_MOST_CHARACTERS_OF_A_FIELD)
        with self._reader() as reader:
            self.columns: Sequence[str] | None = list(reader.fieldnames or ())
        if not self.columns:
            raise BadUsage(f"{path} is empty: its first line must name the columns")
        if len(set(self.columns)) != len(self.columns):
            raise BadUsage(f"{path} names a column twice in its first line")

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        """See `Table`. A row with too few or too many fields is an error."""
        with self._reader() as reader:
            for row in reader:
                if None in row or None in row.values():
                    raise BadUsage(
                        f"{self.path}, line {reader.line_num}: the row has not the "
                        f"{len(self.columns or ())} fields that the first line names"
                    )
                yield row

    def join(
        self, target: Path, added: Mapping[str, type], wanted: Collection[str], answer: Answer
    ) -> int:
        """See `Table`."""
        refuse_taken(self, added)
        number = 0
        with complete(target) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            names = [*(self.columns or ()), *added]
            writer = csv.DictWriter(file, names, delimiter=self._delimiter, lineterminator="\n")
            writer.writeheader()
            for number, row in enumerate(self.rows(), 1):
                writer.writerow({**row, **answer(number, row)})
        return number

    @contextmanager
    def _reader(self) -> Iterator["csv.DictReader[Any]"]:
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=self._delimiter)
            try:
                yield reader
            except csv.Error as error:
                raise BadUsage(f"{self.path}, line {reader.line_num}: {error}") from error
            except UnicodeDecodeError as error:
                raise BadUsage(f"{self.path} is not UTF-8 near byte {error.start:,}") from error
