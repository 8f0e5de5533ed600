"""Tables in files: CSV, JSON lines and Parquet, read and joined row by row.

Owns formats and nothing else: it knows no server and no batch. A table of any
length is worked in flat memory; pyarrow is imported for Parquet alone.
"""

from pathlib import Path

from lmaas.errors import BadUsage
from lmaas.tables.delimited import DelimitedTable
from lmaas.tables.json_lines import JsonLinesTable
from lmaas.tables.table import Table

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = frozenset({".jsonl", ".ndjson"})
_PARQUET = frozenset({".parquet", ".pq"})

__all__ = ["Table", "is_json_lines", "open_table"]


def is_json_lines(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() in _JSON_LINES


def open_table(path: Path) -> Table:
    """The table in a file, by the name's ending. Raises `BadUsage`, or
    `MissingPackage` for Parquet without pyarrow."""
    ending = path.suffix.lower()
    if not path.is_file():
        raise BadUsage(f"there is no file {path}")
    if ending in _DELIMITERS:
        return DelimitedTable(path, _DELIMITERS[ending])
    if ending in _JSON_LINES:
        return JsonLinesTable(path)
    if ending in _PARQUET:
        from lmaas.tables.parquet import ParquetTable

        return ParquetTable(path)
    raise BadUsage(f"{path.name} is no table: its name must end in .csv, .tsv, .jsonl or .parquet")
