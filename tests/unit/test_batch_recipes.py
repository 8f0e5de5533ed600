"""Rows become request lines, and results find their rows again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaas.batch_answers import BatchLine, read_line, text_of
from lmaas.batch_join import Join
from lmaas.batch_lines import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Recipe, parsed
from lmaas.batch_upload import spooled
from lmaas.errors import BadUsage
from lmaas.tables import open_table
from lmaas.templates import column, template

ROW = {"text": "a {b} c", "language": "French", "n": "5", "empty": None}


def body(endpoint: str, **more: Any) -> dict[str, Any]:
    recipe = Recipe(endpoint, "m", prompt=template("In {language}: {text}"), **more)
    return recipe.body_of(ROW)


def test_a_template_fills_columns_and_looks_into_no_value() -> None:
    assert template("{{{text}}} {empty}!").fill(ROW) == "{a {b} c} !"
    assert template("In {language}: {text}").columns == {"language", "text"}
    assert column("a {weird} name").fill({"a {weird} name": 3}) == "3"


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a!r}", "{a:>3}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(BadUsage):
        template(text)


def test_a_value_is_never_reached_through_a_dot() -> None:
    with pytest.raises(BadUsage, match="no column"):
        template("{text.__class__}").fill(ROW)


def test_each_endpoint_gets_the_prompt_where_it_wants_it() -> None:
    said = "In French: a {b} c"
    system = template("be {language}")
    assert body(CHAT, system=system)["messages"] == [
        {"role": "system", "content": "be French"}, {"role": "user", "content": said},
    ]  # fmt: skip
    assert body(COMPLETIONS)["prompt"] == said
    assert body(EMBEDDINGS)["input"] == said
    assert body(RESPONSES, system=system) == {
        "model": "m", "input": said, "instructions": "be French",
    }  # fmt: skip
    with pytest.raises(BadUsage, match="no system"):
        body(COMPLETIONS, system=system)


def test_fields_come_from_columns_or_are_the_same_for_all() -> None:
    made = body(CHAT, fields={"max_tokens": "n", "metadata.lang": "language"}, body={"seed": 1})
    assert (made["max_tokens"], made["metadata"], made["seed"]) == (5, {"lang": "French"}, 1)
    with pytest.raises(BadUsage, match="no object"):
        body(CHAT, fields={"seed.x": "n"}, body={"seed": 1})


def test_a_word_is_read_as_json_where_it_is_some() -> None:
    assert [parsed(word) for word in ("1", "true", "[1]", "a b", '"q"')] == [
        1,
        True,
        [1],
        "a b",
        "q",
    ]


def test_ids_come_from_a_column_or_count_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,text\nx,1\ny,2\n")
    table = open_table(path)
    recipe = Recipe(CHAT, "m", prompt=column("text"))
    assert [line["custom_id"] for line in recipe.lines(table)] == ["row-1", "row-2"]
    named = Recipe(CHAT, "m", prompt=column("text"), id_column="id")
    assert [line["custom_id"] for line in named.lines(table)] == ["x", "y"]
    with pytest.raises(BadUsage, match="no column 'nope'"):
        list(Recipe(CHAT, "m", prompt=column("nope")).lines(table))


def test_the_same_lines_have_the_same_digest() -> None:
    lines = [{"custom_id": "é"}, {"custom_id": "b"}]
    with spooled(lines) as (file, first), spooled(iter(lines)) as (_, second):
        assert first == second
        assert [json.loads(line) for line in file] == lines
    with spooled(lines[:1]) as (_, third):
        assert third != first


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"choices": [{"message": {"content": "hi"}}]}, "hi"),
        ({"choices": [{"text": "hi"}]}, "hi"),
        ({"output": [{"content": [{"type": "output_text", "text": "hi"}]}]}, "hi"),
        ({"data": [{"embedding": [1.0, 2.0]}]}, "[1.0, 2.0]"),
        ({"result": {"text": "hi"}}, "hi"),
        ({"result": {"label": "x"}}, '{"label": "x"}'),
    ],
)
def test_the_text_of_an_answer_of_any_endpoint(answer: dict[str, Any], text: str) -> None:
    assert text_of(answer) == text


def lines(*ids: str, ok: bool = True, start: int = 1) -> Iterator[BatchLine]:
    for number, id in enumerate(ids, start):
        answer = {"choices": [{"text": f"to {id}"}], "usage": {"prompt_tokens": 2}}
        error = {"error": {"code": "bad", "message": "it broke"}}
        yield read_line({
            "line": number, "custom_id": id or None, "status": "succeeded" if ok else "failed",
            "response": {"status_code": 200 if ok else 400, "body": answer if ok else error},
        })  # fmt: skip


def joined(join: Join, count: int) -> list[Any]:
    return [tuple(join.answer(number, {}).values())[:3] for number in range(1, count + 1)]


def test_results_meet_their_rows_and_what_is_missing_is_pending() -> None:
    join = Join([lines("row-1", "row-2")], None)
    assert joined(join, 3) == [
        ("to row-1", "succeeded", None), ("to row-2", "succeeded", None), (None, "pending", None),
    ]  # fmt: skip
    assert (join.pending, join.failed, join.left_over) == (1, 0, False)


def test_results_of_retries_stand_in_for_the_failed_ones() -> None:
    first = lines("row-1", "row-2", "row-3", ok=False)
    join = Join([first, lines("row-2", "row-3", ok=False), lines("row-3")], None)
    assert joined(join, 3) == [
        (None, "failed", "bad"), (None, "failed", "bad"), ("to row-3", "succeeded", None),
    ]  # fmt: skip
    assert join.failed == 2


def test_another_file_than_the_submitted_one_is_noticed() -> None:
    with pytest.raises(BadUsage, match="row 1"):
        joined(Join([lines("else")], None), 1)
    join = Join([lines("row-1", "row-2")], None)
    joined(join, 1)
    assert join.left_over


def test_a_line_that_had_no_id_of_its_own_is_met_by_its_place() -> None:
    join = Join([lines("", "row-2", ok=False)], None)
    assert [row[1] for row in joined(join, 2)] == ["failed", "failed"]
