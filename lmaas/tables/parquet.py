"""Parquet, by pyarrow (`pip install 'lmaas[files]'`), a thousand rows at a time.

What a join does not change keeps its type: columns are appended to the batches
that were read, rows are made only of the columns that somebody looks at.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmaas.errors import BadUsage, MissingPackage
from lmaas.tables.table import Answer, Row, complete, refuse_taken

try:
    import pyarrow
    import pyarrow.parquet
except ImportError as error:
    raise MissingPackage(
        "Parquet files need pyarrow, which is not installed: pip install 'lmaas[files]' "
        "(CSV and JSON lines need nothing)"
    ) from error

_ROWS_AT_A_TIME = 1_000


class ParquetTable:
    """See the module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            self._schema = file.schema_arrow
        self.columns: Sequence[str] | None = list(self._schema.names)

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        """See `Table`."""
        chosen = None if wanted is None else [c for c in self.columns or () if c in wanted]
        for batch in self._batches(chosen):
            if chosen == []:  # a batch without columns has no rows to list
                yield from ({} for _ in range(batch.num_rows))
            else:
                yield from batch.to_pylist()

    def join(
        self, target: Path, added: Mapping[str, type], wanted: Collection[str], answer: Answer
    ) -> int:
        """See `Table`."""
        refuse_taken(self, added)
        types = {str: pyarrow.string(), int: pyarrow.int64()}
        fields = [pyarrow.field(name, types[kind]) for name, kind in added.items()]
        schema = self._schema
        for field in fields:
            schema = schema.append(field)
        seen = 0
        with complete(target) as draft, pyarrow.parquet.ParquetWriter(draft, schema) as writer:
            for batch in self._batches(None):
                rows = batch.select([c for c in batch.schema.names if c in wanted]).to_pylist()
                answers = [
                    answer(number, row)
                    for number, row in enumerate(rows or [{}] * batch.num_rows, seen + 1)
                ]
                columns = [
                    pyarrow.array([given.get(field.name) for given in answers], field.type)
                    for field in fields
                ]
                seen += batch.num_rows
                writer.write_batch(
                    pyarrow.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema)
                )
        return seen

    def _batches(self, columns: list[str] | None) -> Iterator[Any]:
        with self._opened() as file:
            yield from file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=columns)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                yield file
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
            raise BadUsage(f"{self.path} cannot be read as Parquet: {error}") from error
