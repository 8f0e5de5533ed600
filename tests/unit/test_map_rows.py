"""`Client.map` over rows and datasets, and taken up again where it was broken off."""

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaas import Client, JobFailed
from lmaas.errors import BadUsage
from tests.unit.scripted_server import KEY, Answer, Request, ScriptedServer, job, running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

ROWS = {"text": ["one", "two", "three"], "language": ["en", "fr", "de"]}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running() as started:
        yield started


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.url, KEY, patience_s=1) as opened:
        yield opened


def test_a_prompt_is_filled_with_the_columns_of_each_row(
    server: ScriptedServer, client: Client
) -> None:
    rows = datasets.Dataset.from_dict(ROWS)
    done = list(client.map(rows, prompt="{text} in {language}", model="echo", in_flight=2))
    assert [one.result.text for one in done if one.result] == [
        "ONE IN EN", "TWO IN FR", "THREE IN DE",
    ]  # fmt: skip
    assert done[1].input == {"text": "two", "language": "fr"}
    chat = next(client.map([{"q": "hi"}], prompt="{q}", system="be {q}", model="echo"))
    assert server.requests[-2].body["input"]["messages"][0] == {
        "role": "system",
        "content": "be hi",
    }
    assert chat.result is not None


def test_a_row_without_the_column_fails_alone(client: Client) -> None:
    first, second, third = client.map([{"a": "x"}, {"b": "y"}, "z"], prompt="{a}", model="echo")
    assert first.result is not None
    assert isinstance(second.error, BadUsage)
    assert isinstance(third.error, BadUsage)
    with pytest.raises(BadUsage, match="prompt="):
        client.map([], system="x", model="echo")


def test_a_dataset_gets_a_column_of_results_and_one_of_errors(client: Client) -> None:
    rows = datasets.Dataset.from_dict({"text": ["one", "poison", "three"]})
    made = client.add_column(rows, "shout", prompt="{text}", model="echo")
    assert made.column_names == ["text", "shout", "shout_error"]
    assert made["shout"][:] == ["ONE", None, "THREE"]
    assert made["shout_error"][:] == [None, "engine_failed", None]
    many = datasets.Dataset.from_dict({"text": [f"t{number}" for number in range(30)]})
    made = client.add_column(many, "shout", prompt="{text}", model="echo", ordered=False)
    assert made["shout"][:] == [text.upper() for text in made["text"]]
    with pytest.raises(BadUsage, match="add_column"):
        client.add_column([1], "x", prompt="{text}", model="echo")


@pytest.mark.parametrize("name", ["text", "said"])  # the column itself, and that of its errors
def test_a_column_that_is_there_already_is_refused_before_anything_runs(
    server: ScriptedServer, client: Client, name: str
) -> None:
    rows = datasets.Dataset.from_dict({"text": ["one"], "said_error": [None]})
    with pytest.raises(BadUsage, match=f"'{name}.*choose another name.*remove_columns"):
        client.add_column(rows, name, prompt="{text}", model="echo")
    assert server.requests == []


@pytest.mark.parametrize("texts", [{"prompt": "{txt}"}, {"prompt": "{text}", "system": "{txt}"}])
def test_a_column_that_no_row_can_have_is_refused_before_anything_runs(
    server: ScriptedServer, client: Client, texts: dict[str, Any]
) -> None:
    rows = datasets.Dataset.from_dict(ROWS)
    with pytest.raises(BadUsage, match=r"no column 'txt', only 'text', 'language'"):
        client.map(rows, model="echo", **texts)
    with pytest.raises(BadUsage, match="no column 'txt'"):
        client.add_column(rows, "said", model="echo", **texts)
    assert server.requests == []


def test_a_run_that_was_broken_off_goes_on_and_runs_nothing_twice(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    file, items = tmp_path / "done.jsonl", [f"item {n}" for n in range(12)]
    results = client.map(items, model="echo", in_flight=2, resume=file)
    seen = [next(results).index for _ in range(5)]
    results.close()  # type: ignore[attr-defined]
    before = len(server.jobs)
    assert seen == [0, 1, 2, 3, 4] and before < 12
    done = list(client.map(items, model="echo", in_flight=2, resume=file))
    assert [one.result.text for one in done if one.result] == [item.upper() for item in items]
    assert len(server.jobs) == 12
    assert len(list(client.map(items, model="echo", resume=file))) == 12
    assert len(server.jobs) == 12


def test_a_cut_off_line_is_passed_over_and_its_job_found_again(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "done.jsonl"
    list(client.map(["a", "b"], model="echo", in_flight=1, resume=file))
    text = file.read_text()
    file.write_text(text[: len(text) - 20])
    done = list(client.map(["a", "b", "c"], model="echo", in_flight=1, resume=file))
    assert [one.result.text for one in done if one.result] == ["A", "B", "C"]
    assert len(server.jobs) == 3
    assert len(list(client.map(["a", "b", "c"], model="echo", resume=file))) == 3
    assert len(server.jobs) == 3


def test_what_failed_runs_again_in_the_next_run(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "done.jsonl"
    [failed] = client.map(["poison"], model="echo", resume=file)
    assert isinstance(failed.error, JobFailed)

    def decide(request: Request) -> Answer | None:
        """As the real one: a known key is answered with the job as it is."""
        known = server.keys.get(request.headers.get("idempotency-key", ""))
        return Answer(202, server.jobs[known]) if request.method == "POST" and known else None

    server.decide = decide
    [again] = client.map(["poison"], model="echo", resume=file)
    assert isinstance(again.error, JobFailed)
    assert failed.job is not None and again.job is not None
    assert failed.job.id != again.job.id


def test_other_items_or_parameters_than_before_are_noticed(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    list(client.map(["a"], model="echo", resume=file))
    [other] = client.map(["b"], model="echo", resume=file)
    assert isinstance(other.error, BadUsage)
    [warmer] = client.map(["a"], model="echo", temperature=1, resume=file)
    assert isinstance(warmer.error, BadUsage)
    file.write_text(json.dumps(job("x")) + "\n")
    with pytest.raises(BadUsage, match="no journal"):
        client.map(["a"], model="echo", resume=file)
