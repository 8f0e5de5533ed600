"""The job envelope refuses what is out of bounds, by the name of the field."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.spec import (
    MAX_COMPLETION_TOKENS,
    MAX_MESSAGES,
    MAX_TEXT,
    ChatInput,
    GenerateInput,
    Parameters,
    Submit,
)
from jobs.states import Priority

GOOD: dict[str, Any] = {"task": "generate", "model": "echo", "input": {"prompt": "hello"}}


def read(**changes: Any) -> Submit:
    return Submit.model_validate_json(json.dumps(GOOD | changes))


def refused(body: str) -> str:
    """The path of the first field that is at fault."""
    with pytest.raises(ValidationError) as caught:
        Submit.model_validate_json(body)
    return ".".join(str(part) for part in caught.value.errors()[0]["loc"])


def form(json_schema: str) -> str:
    """A `response_format` with that, as JSON."""
    return f'{{"type": "json_schema", "json_schema": {json_schema}}}'


def test_a_minimal_job_has_the_documented_defaults() -> None:
    job = read()
    assert job.priority is Priority.NORMAL
    assert job.metadata == {}
    wanted = Parameters(max_tokens=128, temperature=0.0, top_p=1.0, top_k=0, stop=[], seed=None)
    assert job.parameters == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", MAX_COMPLETION_TOKENS),
        ("temperature", 0),
        ("temperature", 2),
        ("temperature", 0.7),
        ("top_p", 1),
        ("top_p", 1e-300),
        ("top_k", 0),
        ("top_k", 1_000_000),
        ("stop", "\n"),
        ("stop", []),
        ("stop", ["a"] * 16),
        ("stop", "x" * 256),
        ("seed", 0),
        ("seed", 2**63 - 1),
        ("seed", None),
        ("n", 16),
        ("logprobs", True),
        ("min_p", 1),
        ("presence_penalty", -2),
        ("frequency_penalty", 2),
        ("repetition_penalty", 0.1),
        ("stop_token_ids", [0] * 64),
        ("ignore_eos", True),
        ("response_format", None),
    ],
)
def test_a_parameter_at_its_bound_is_taken(name: str, value: object) -> None:
    assert getattr(read(parameters={name: value}).parameters, name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_tokens", "-1"),
        ("max_tokens", "131073"),
        ("max_tokens", "1" + "0" * 400),
        ("max_tokens", "1.5"),
        ("max_tokens", "true"),
        ("max_tokens", '"8"'),
        ("temperature", "-0.01"),
        ("temperature", "2.01"),
        ("temperature", "NaN"),
        ("temperature", "Infinity"),
        ("temperature", "-Infinity"),
        ("temperature", "1e999"),
        ("temperature", "false"),
        ("temperature", '"0.5"'),
        ("temperature", "[]"),
        ("top_p", "0"),
        ("top_p", "-1"),
        ("top_p", "1.0001"),
        ("top_p", "NaN"),
        ("top_p", "true"),
        ("top_k", "-1"),
        ("top_k", "1000001"),
        ("top_k", "0.5"),
        ("top_k", "true"),
        ("seed", "-1"),
        ("seed", "9223372036854775808"),
        ("seed", "true"),
        ("seed", "1.0001"),
        ("stop", '""'),
        ("stop", '[""]'),
        ("stop", "[1]"),
        ("stop", "{}"),
        ("stop", json.dumps(["a"] * 17)),
        ("stop", json.dumps("x" * 257)),
        ("stop", json.dumps(["x" * 257])),
        ("stop", r'"\u0000"'),
        ("stop", r'["a\u0000"]'),
        ("max_token", "5"),
        ("n", "0"),
        ("n", "17"),
        ("n", "1.5"),
        ("best_of", "1"),
        ("logprobs", "1"),
        ("top_logprobs", "21"),
        ("top_logprobs", "-1"),
        ("top_logprobs", "3"),  # without logprobs
        ("min_p", "1.1"),
        ("min_p", "NaN"),
        ("presence_penalty", "2.1"),
        ("frequency_penalty", "-2.1"),
        ("repetition_penalty", "0.05"),
        ("repetition_penalty", "11"),
        ("repetition_penalty", "0"),
        ("logit_bias", '{"a": 1}'),
        ("logit_bias", '{"-1": 1}'),
        ("logit_bias", '{"1": 101}'),
        ("logit_bias", '{"1": "1"}'),
        ("logit_bias", "[]"),
        ("logit_bias", json.dumps({str(id): 1 for id in range(301)})),
        ("stop_token_ids", "[-1]"),
        ("stop_token_ids", "5"),
        ("stop_token_ids", json.dumps([1] * 65)),
        ("ignore_eos", "1"),
        ("response_format", '"json"'),
        ("response_format", "{}"),
        ("response_format", '{"type": "xml"}'),
        ("response_format", '{"type": "json_schema"}'),
        ("response_format", '{"type": "text", "json_schema": {}}'),
        ("response_format", form('{"name": "a b", "schema": {}}')),
        ("response_format", form('{"name": "a"}')),
        ("response_format", form('{"name": "a", "schema": []}')),
        ("response_format", form('{"name": "a", "schema": {"a": "\\u0000"}}')),
        ("response_format", form('{"name": "a", "schema": {"\\u0000": 1}}')),
        ("response_format", form('{"name": "a", "schema": ' + '{"a":' * 48 + "{}" + "}" * 49)),
        ("response_format", form(json.dumps({"name": "a", "schema": {"a": "x" * 65_536}}))),
    ],
)
def test_a_parameter_out_of_bounds_is_refused_by_name(name: str, text: str) -> None:
    body = json.dumps(GOOD)[:-1] + f', "parameters": {{"{name}": {text}}}}}'
    assert refused(body).startswith(f"parameters.{name}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", 1),
        ("task", None),
        ("task", ""),
        ("task", "x" * 257),
        ("task", "a\x00b"),
        ("model", []),
        ("model", ""),
        ("model", "m" * 257),
        ("model", "echo\x00"),
        ("input", "hello"),
        ("input", []),
        ("input", None),
        ("parameters", []),
        ("parameters", None),
        ("priority", "urgent"),
        ("priority", 0),
        ("priority", None),
        ("metadata", []),
        ("metadata", None),
        ("metadata", {"a": 1}),
        ("metadata", {"a": None}),
        ("metadata", {"": "x"}),
        ("metadata", {"k" * 65: "x"}),
        ("metadata", {"k": "x" * 513}),
        ("metadata", {str(number): "x" for number in range(17)}),
        ("metadata", {"k": "a\x00"}),
        ("metadata", {"k\x00": "a"}),
        ("tenant_id", "someone"),
        ("id", "0"),
    ],
)
def test_a_field_of_the_wrong_shape_is_refused_by_name(field: str, value: object) -> None:
    assert refused(json.dumps(GOOD | {field: value})).split(".")[0] == field


@pytest.mark.parametrize("field", ["task", "model", "input"])
def test_a_missing_field_is_named(field: str) -> None:
    assert refused(json.dumps({k: v for k, v in GOOD.items() if k != field})) == field


def test_an_input_with_two_fields_is_refused() -> None:
    with pytest.raises(ValidationError, match="one field is expected"):
        read(input={"prompt": "a", "messages": []})


@pytest.mark.parametrize("text", ["", "not json", "{", "[1,2]", "null", "1", '"x"', "{}{}"])
def test_what_is_no_object_is_refused_as_a_whole(text: str) -> None:
    assert refused(text) == ""


@pytest.mark.parametrize("depth", [300, 100_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused_and_never_overflows(depth: int, opening: str) -> None:
    refused(opening * depth)
    refused('{"task":"generate","model":"echo","input":{"prompt":' + opening * depth)
    closing = "]" if opening == "[" else "}"
    refused('{"input":' + opening * depth + "1" + closing * depth + "}")


@pytest.mark.parametrize("number", [0xD800, 0xDC00, 0xDFFF])
def test_a_lone_surrogate_is_refused_as_json_and_from_python(number: int) -> None:
    half = f"a{chr(number)}b"
    refused(json.dumps(GOOD | {"input": {"prompt": half}}))
    with pytest.raises(ValidationError):
        GenerateInput.model_validate({"prompt": half})


def test_a_whole_surrogate_pair_is_one_character() -> None:
    job = Submit.model_validate_json(json.dumps(GOOD | {"input": {"prompt": "\U0001f600"}}))
    assert job.input == {"prompt": "\U0001f600"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"prompt": ""},
        {"prompt": 5},
        {"prompt": None},
        {"prompt": ["a"]},
        {"prompt": "a\x00b"},
        {"prompt": "x" * (MAX_TEXT + 1)},
        {"text": "a"},
    ],
)
def test_a_prompt_that_is_no_filled_text_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GenerateInput.model_validate(given)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        "hello",
        [],
        ["hello"],
        [{}],
        [{"role": "user"}],
        [{"content": "a"}],
        [{"role": "tool", "content": "a"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "a\x00"}],
        [{"role": "user", "content": "\ud800"}],
        [{"role": "user", "content": "a", "name": "b"}],
        [{"role": "user", "content": "x" * (MAX_TEXT + 1)}],
        [{"role": "user", "content": "a"}] * (MAX_MESSAGES + 1),
    ],
)
def test_messages_that_are_no_conversation_are_refused(messages: object) -> None:
    with pytest.raises(ValidationError):
        ChatInput.model_validate({"messages": messages})


def test_stop_strings_are_a_tuple_whichever_way_they_came() -> None:
    assert read(parameters={"stop": "a"}).parameters.stop_strings == ("a",)
    assert read(parameters={"stop": ["a", "b"]}).parameters.stop_strings == ("a", "b")
    assert read().parameters.stop_strings == ()


def test_parameters_survive_the_way_through_the_database() -> None:
    schema = {"type": "object", "properties": {"schema": {"type": "integer"}}}
    given = read(
        parameters={
            "max_tokens": 3,
            "temperature": 0.1,
            "top_p": 5e-324,
            "stop": ["a"],
            "seed": 2**63 - 1,
            "logprobs": True,
            "top_logprobs": 20,
            "logit_bias": {"7": -3.5},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "it", "schema": schema, "strict": True},
            },
        }
    ).parameters
    assert given.logit_bias == {7: -3.5}
    for dumped in (given.model_dump(), given.model_dump(exclude_defaults=True)):
        assert Parameters.model_validate(json.loads(json.dumps(dumped))) == given


def test_a_form_and_no_end_exclude_each_other() -> None:
    given = {"ignore_eos": True, "response_format": {"type": "json_object"}}
    assert refused(json.dumps(GOOD | {"parameters": given})) == "parameters.response_format"
    free = read(parameters={"ignore_eos": True, "response_format": {"type": "text"}}).parameters
    assert free.is_free_text
