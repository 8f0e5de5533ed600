"""Lines end where they should, whatever separators stand inside of texts."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.openai import sse
from jobs.json_lines import json_line
from lmaas import Client, line_ends
from lmaas.batch_answers import Progress
from lmaas.batch_upload import spooled
from lmaas.cli import main
from lmaas.tables import open_table
from tests.unit.scripted_server import KEY, Answer, ScriptedServer, running

# All that `str.splitlines` ends a line at, and what looks like half of it in UTF-8.
TORN = "a\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b\u0305\u2018“grüße”😀"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running() as started:
        yield started


@pytest.mark.parametrize("text", [TORN, "plain", "\u2028"])
def test_json_is_one_line_for_any_reader_and_says_the_same(text: str) -> None:
    value = {text: [text, 1.5, None]}
    for line in (json_line(value).decode(), line_ends.json_line(value)):
        assert len(line.splitlines()) == 1
        assert json.loads(line) == value
    # What is no separator stays readable.
    assert "“grüße”😀" in json_line(TORN).decode()


def test_an_event_is_as_many_lines_as_it_has_fields() -> None:
    assert len(sse.line({"text": TORN}, "delta").splitlines()) == 3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_is_split_at_its_three_ends_and_nowhere_else(size: int) -> None:
    raw = "a\u2028b\n\nc\x85é😀\r\n\r\nd\re\r\r\x0cf\ncut".encode()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert list(line_ends.split([b"", *pieces, b""])) == [
        "a\u2028b", "", "c\x85é😀", "", "d", "e", "", "\x0cf",
    ]  # fmt: skip


def test_a_line_is_told_when_its_end_has_come_and_waits_for_nothing_behind_it() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one\r"
        raise ConnectionError

    assert next(line_ends.split(pieces())) == "one"


def test_a_custom_id_with_a_separator_comes_through_the_events_of_a_batch(
    server: ScriptedServer,
) -> None:
    told: dict[str, Any] = {"line": 1, "custom_id": TORN, "status": "succeeded"}
    end = {"status": "completed", "request_counts": {"total": 1, "completed": 1}}
    # As a server says it that escapes no separator.
    raw = json.dumps(told, ensure_ascii=False), json.dumps(end)
    body = f"id: 1\nevent: line\ndata: {raw[0]}\n\nid: 2\nevent: end\ndata: {raw[1]}\n\n"
    server.script = [Answer(200, body.encode())]
    with Client(server.url, KEY) as client:
        (_, line), (_, last) = client.batches.events("batch_1")
    assert line == told
    assert isinstance(last, Progress)
    assert last.counts.completed == 1


def test_the_lines_that_are_sent_and_the_table_that_is_written_are_whole(tmp_path: Path) -> None:
    with spooled([{"custom_id": TORN}] * 2) as (file, _):
        assert len(file.read().decode().splitlines()) == 2
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": TORN}, ensure_ascii=False) + "\n", encoding="utf-8")
    joined = open_table(source).join(target, {}, (), lambda number, row: {"result": TORN})
    [line] = target.read_bytes().decode().splitlines()
    assert (joined, json.loads(line)) == (1, {"text": TORN, "result": TORN})


def test_texts_of_standard_input_are_one_a_line_whatever_stands_in_them(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("a\u2028b\r\n\nc\x85d\n".encode()), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setenv("LMAAS_API_KEY", KEY)
    with pytest.raises(SystemExit):
        main(["embed", "--url", server.url, "--model", "m"])
    [sent] = server.to("/v1/jobs")
    assert sent.body["input"] == {"input": ["a\u2028b", "", "c\x85d"]}
