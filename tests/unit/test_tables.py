"""Tables in files: read row by row, joined with the format and the types that they had."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmaas.errors import BadUsage, MissingPackage
from lmaas.tables import open_table

ROWS = [{"id": "a", "text": 'one, "two"\nthree'}, {"id": "b", "text": "ünï"}]
ADDED: dict[str, type] = {"result": str, "tokens": int}


@pytest.fixture(params=["csv", "tsv", "jsonl", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"in.{request.param}"
    if request.param in ("csv", "tsv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "text"],
                                    delimiter="\t" if request.param == "tsv" else ",")  # fmt: skip
            writer.writeheader()
            writer.writerows(ROWS)
    elif request.param == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def answer(number: int, row: Mapping[str, Any]) -> Mapping[str, Any]:
    if row["id"] == "b":
        return {"result": None, "tokens": None}
    return {"result": f"{number}!", "tokens": 7}


def test_every_format_gives_the_same_rows(table: Path) -> None:
    assert list(open_table(table).rows()) == ROWS
    assert [row["text"] for row in open_table(table).rows({"text"})] == [r["text"] for r in ROWS]


def test_a_join_keeps_columns_and_rows_in_their_order(table: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out{table.suffix}"
    assert open_table(table).join(out, ADDED, {"id"}, answer) == 2
    first, second = open_table(out).rows()
    assert list(first) == ["id", "text", "result", "tokens"]
    assert (first["text"], first["result"], str(first["tokens"])) == (ROWS[0]["text"], "1!", "7")
    assert not second["result"]
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_a_join_that_fails_leaves_no_file(table: Path, tmp_path: Path) -> None:
    def broken(number: int, row: Mapping[str, Any]) -> Mapping[str, Any]:
        raise BadUsage("no")

    with pytest.raises(BadUsage):
        open_table(table).join(tmp_path / "out", ADDED, {"id"}, broken)
    assert [path.name for path in tmp_path.iterdir()] == [table.name]


def test_a_column_of_the_input_is_never_overwritten(table: Path, tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="already"):
        open_table(table).join(tmp_path / "out", {"text": str}, {"id"}, answer)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    when = datetime(2026, 1, 1, 12, tzinfo=UTC)
    rows = [
        {"id": str(n), "when": when, "score": n / 2, "tags": ["x", str(n)]} for n in range(2500)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)

    def numbered(number: int, row: Mapping[str, Any]) -> Mapping[str, Any]:
        assert row == {"id": str(number - 1)}
        return {"result": row["id"], "tokens": number}

    assert open_table(path).join(out, ADDED, {"id"}, numbered) == 2500
    joined = pq.read_table(out)
    assert joined.schema.names == ["id", "when", "score", "tags", "result", "tokens"]
    assert joined.schema.field("when").type == pq.read_schema(path).field("when").type
    assert joined["result"].to_pylist() == [row["id"] for row in rows]
    assert joined["tokens"].to_pylist() == list(range(1, 2501))
    assert joined.drop_columns(["result", "tokens"]).to_pylist() == rows


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"", "empty"),
        ("x.csv", b"a,a\n1,2\n", "twice"),
        ("x.csv", b"a,b\n1\n", "line 2"),
        ("x.csv", b"a,b\n1,2,3\n", "line 2"),
        ("x.csv", b"a,b\n\xff,2\n", "UTF-8"),
        ("x.jsonl", b'{"a": 1}\n{', "line 2"),
        ("x.jsonl", b"[1]\n", "line 1"),
        ("x.parquet", b"PAR1 no", "Parquet"),
        ("x.xlsx", b"", "must end"),
    ],
)
def test_what_is_no_table_is_said_with_its_place(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadUsage, match=said):
        list(open_table(path).rows())


def test_a_missing_file_is_said() -> None:
    with pytest.raises(BadUsage, match="no file"):
        open_table(Path("nowhere.csv"))


@pytest.fixture
def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "lmaas.tables.parquet", raising=False)
    yield
    sys.modules.pop("lmaas.tables.parquet", None)


@pytest.mark.usefixtures("without_pyarrow")
def test_parquet_without_its_package_says_which_and_the_others_need_none(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"")
    with pytest.raises(MissingPackage, match=r"lmaas\[files\]"):
        open_table(path)
    other = tmp_path / "x.csv"
    other.write_text("a\n1\n")
    assert list(open_table(other).rows()) == [{"a": "1"}]
