"""What is said of a body of OpenAI's that is refused: the right field, as it was written."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from routing.openai.embedding_requests import EmbeddingRequest
from routing.openai.problems import of_validation
from routing.openai.requests import ChatRequest, CompletionRequest
from routing.openai.response_requests import ResponseRequest
from routing.problems import Problem

SAID = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "json_schema"}


def refused(kind: type[BaseModel], **body: Any) -> Problem:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate_json(json.dumps({"model": "m"} | body))
    return of_validation(caught.value)


@pytest.mark.parametrize(
    "kind", ["function_call", "function_call_output", "reasoning", "item_reference"]
)
def test_an_item_that_is_no_message_is_refused_by_its_type(kind: str) -> None:
    told = refused(ResponseRequest, input=[*SAID, {"type": kind, "id": "x", "output": "y"}])
    assert (told.status, told.code, told.param) == (400, "unsupported_value", "input.1.type")
    assert repr(kind) in told.message


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ({"tool_calls": [{"id": "x"}]}, "unsupported_parameter", "tool_calls"),
        ({"function_call": {"name": "f"}}, "unsupported_parameter", "function_call"),
        ({"refusal": "no"}, "unsupported_parameter", "refusal"),
        ({"audio": {"id": "x"}}, "unsupported_parameter", "audio"),
        ({"role": "tool", "tool_call_id": "x"}, "unsupported_value", "role"),
        ({"role": "function", "name": "x"}, "unsupported_value", "role"),
        ({}, "invalid_value", "content"),
        ({"tool_calls": [], "refusal": None}, "invalid_value", "content"),
    ],
    ids=str,
)
def test_a_turn_without_text_is_refused_by_what_it_has_instead(
    message: dict[str, Any], code: str, field: str
) -> None:
    told = refused(ChatRequest, messages=[{"role": "assistant", "content": None} | message])
    assert (told.code, told.param) == (code, f"messages.0.{field}")


def test_neutral_fields_of_a_turn_pass() -> None:
    turn: dict[str, Any] = {
        "role": "assistant",
        "content": "a",
        "tool_calls": [],
        "refusal": None,
        "audio": None,
    }
    ChatRequest.model_validate({"model": "m", "messages": [turn]})


@pytest.mark.parametrize(
    ("form", "param"),
    [
        (SCHEMA, "json_schema"),
        (SCHEMA | {"json_schema": {"name": "x"}}, "json_schema.schema"),
        (SCHEMA | {"json_schema": {"schema": {}}}, "json_schema.name"),
        ({"type": "json_object", "x": 1}, "x"),
    ],
    ids=str,
)
def test_the_chosen_kind_of_a_form_stands_in_no_path(form: dict[str, Any], param: str) -> None:
    told = refused(ChatRequest, messages=SAID, response_format=form)
    assert told.param == f"response_format.{param}"
    assert refused(ResponseRequest, input="x", text={"format": SCHEMA}).param == "text.format.name"


def test_a_key_at_fault_is_named_and_bounded() -> None:
    assert refused(ChatRequest, messages=SAID, logit_bias={"abc": 1}).param == "logit_bias.abc"
    told = refused(ChatRequest, messages=SAID, metadata={"k" * 100_000: "v"})
    assert len(told.message) < 1_000


@pytest.mark.parametrize(
    ("kind", "field"), [(CompletionRequest, "prompt"), (EmbeddingRequest, "input")]
)
@pytest.mark.parametrize("value", [None, 3, True, {}, "", "a\x00"], ids=repr)
def test_what_stands_alone_has_no_number(kind: type[BaseModel], field: str, value: Any) -> None:
    told = refused(kind, **{field: value})
    assert (told.code, told.param) == ("invalid_value", field)
    assert "array" not in told.message


def test_what_stands_in_a_list_has_its_number() -> None:
    assert refused(CompletionRequest, prompt=["a", ""]).param == "prompt.1"
    assert refused(CompletionRequest, prompt=[1, "a"]).param == "prompt.1"
    assert refused(CompletionRequest, prompt=[[1], [2, "a"]]).param == "prompt.1.1"
    assert refused(EmbeddingRequest, input=["a", ""]).param == "input.1"
    assert refused(CompletionRequest, prompt="a", stop="").param == "stop"
    assert refused(CompletionRequest, prompt="a", stop=["a", ""]).param == "stop.1"
    assert refused(ResponseRequest, input="a\x00").param == "input"
    assert refused(ResponseRequest, input=[{"role": "user", "content": "a\x00"}]).param == (
        "input.0.content"
    )
