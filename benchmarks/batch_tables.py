"""Memory of `lmaas batch` over tables: rows to request lines, results beside rows.

Each run is a process of its own, because a peak is never taken back:
`python -m benchmarks.batch_tables`.
"""

import csv
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet

from lmaas.batch_answers import BatchLine, read_line
from lmaas.batch_join import Join, added_columns
from lmaas.batch_lines import CHAT, Recipe
from lmaas.batch_upload import spooled
from lmaas.tables import open_table
from lmaas.templates import template

SIZES = (1_000, 50_000)
_WORDS = "words " * 60


def main() -> None:
    """Prints a row for each format and size, or makes one run."""
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
        return
    print("format    rows  before  submitted  joined (MiB at most)")
    for kind in ("csv", "parquet"):
        for rows in SIZES:
            command = [sys.executable, "-m", "benchmarks.batch_tables", kind, str(rows)]
            subprocess.run(command, check=True)


def measure(kind: str, rows: int) -> None:
    """One run: a table is made, submitted as far as the upload, and joined."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"in.{kind}")
        _write(source, rows)
        before = _peak()
        table = open_table(source)
        recipe = Recipe(CHAT, "echo", prompt=template("{text}"))
        with spooled(recipe.lines(table)):
            submitted = _peak()
        join = Join([_results(rows)], None)
        table.join(Path(folder, f"out.{kind}"), added_columns("result"), frozenset(), join.answer)
    print(f"{kind:<8}{rows:>6}  {before:>6}  {submitted:>9}  {_peak():>6}")


def _write(path: Path, rows: int) -> None:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text"])
            writer.writerows([number, _WORDS] for number in range(rows))
        return
    schema = pyarrow.schema([("id", pyarrow.int64()), ("text", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 1_000):
            ids = list(range(start, start + 1_000))
            writer.write_table(pyarrow.table({"id": ids, "text": [_WORDS] * 1_000}, schema=schema))


def _results(rows: int) -> Iterator[BatchLine]:
    body = {"choices": [{"message": {"content": "an answer " * 20}}]}
    for number in range(1, rows + 1):
        yield read_line({
            "line": number, "custom_id": f"row-{number}", "status": "succeeded",
            "response": {"status_code": 200, "body": body},
        })  # fmt: skip


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
