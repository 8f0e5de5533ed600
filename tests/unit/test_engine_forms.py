"""A completion of a given form has it, whatever the model would rather say."""

import json
from typing import Any

import jsonschema
import pytest

from jobs.errors import InvalidRequest
from jobs.spec import Parameters
from models_store.grammar import Constraint, Grammar, Grammars
from models_store.prompt import PromptRenderer
from tests.unit.engine_models import VOCABULARY, Driver, byte_vocabulary, engine, prompts

WORD = {"type": "string", "maxLength": 6}
SCHEMAS: dict[str, dict[str, Any]] = {
    "flat": {
        "type": "object",
        "properties": {"name": WORD, "whole": {"type": "boolean"}, "of": {"type": "null"}},
        "required": ["name", "whole"],
        "additionalProperties": False,
    },
    "enum": {"enum": ["red", "grün", 3, None, "<end>"]},
    "nested": {
        "type": "object",
        "properties": {
            "at": {
                "type": "object",
                "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 99}},
                "required": ["x"],
                "additionalProperties": False,
            },
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
        },
        "required": ["at", "tags"],
        "additionalProperties": False,
    },
    "array": {"type": "array", "items": WORD, "minItems": 2, "maxItems": 4},
    "choice": {"anyOf": [{"const": "no"}, {"type": "object", "properties": {"yes": WORD},
                                           "required": ["yes"], "additionalProperties": False}]},
    "recursive": {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"next": {"anyOf": [
            {"type": "null"}, {"$ref": "#/$defs/node"}]}}, "required": ["next"],
            "additionalProperties": False}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(PromptRenderer(byte_vocabulary().tokenizer, None, VOCABULARY))


def compiled(grammars: Grammars, schema: dict[str, Any] | None) -> Grammar:
    form: dict[str, Any] = {"type": "json_object"}
    if schema is not None:
        form = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    parameters = Parameters.model_validate({"response_format": form})
    grammar = grammars.compiled(parameters.response_format)
    assert grammar is not None
    return grammar


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_draw_obeys_its_schema(grammars: Grammars, name: str) -> None:
    grammar = compiled(grammars, SCHEMAS[name])
    driver = Driver(engine(slots=24))
    for seed, prompt in enumerate(prompts([7] * 12)):
        driver.add(prompt, 300, grammar, temperature=2.0 * (seed % 2), seed=seed, min_p=0.0)
    for completion in driver.finish().values():
        assert completion.error is None
        if name != "recursive" or completion.reason == "stop":
            jsonschema.validate(json.loads(completion.text), SCHEMAS[name])
            assert completion.reason == "stop"


def test_the_models_end_is_taken_only_where_the_text_is_whole(grammars: Grammars) -> None:
    grammar = compiled(grammars, {"type": "integer"})
    driver = Driver(engine(ends=256))
    # The end is what the model wants most, all the time.
    ids = [
        driver.add(prompt, 50, grammar, logit_bias={256: 100.0}, temperature=1.0, seed=1)
        for prompt in prompts([5, 9])
    ]
    found = driver.finish()
    assert [found[id].reason for id in ids] == ["stop", "stop"]
    assert all(isinstance(json.loads(found[id].text), int) for id in ids)


def test_neighbours_of_a_form_keep_their_tokens(grammars: Grammars) -> None:
    prompt = prompts([30])[0]
    texts = []
    for forms in (0, 3):
        driver = Driver(engine())
        for other in prompts([11] * forms):
            driver.add(other, 60, compiled(grammars, SCHEMAS["nested"]), temperature=1.0)
        mine = [driver.add(prompt, 30, seed=4, temperature=heat) for heat in (0.0, 0.9)]
        found = driver.finish()
        texts.append([found[id].text for id in mine])
    assert texts[0] == texts[1]


def test_a_text_that_is_cut_by_max_tokens_says_length(grammars: Grammars) -> None:
    driver = Driver(engine())
    id = driver.add([1, 2], 5, compiled(grammars, None), logprobs=2)
    found = driver.finish()[id]
    assert (found.reason, found.tokens) == ("length", 5)
    assert found.text.startswith("{")


class Stuck(Constraint):
    """A grammar that the matcher gives up on after some tokens."""

    def __init__(self) -> None:
        self._left = 3

    def allowed(self) -> bytes:
        return bytes([1]) * 256

    def accept(self, token: int) -> None:
        self._left -= 1

    may_end = False
    complete = False

    @property
    def failure(self) -> str | None:
        return None if self._left else "LexerTooComplex"


class StuckGrammar:
    def begin(self) -> Stuck:
        return Stuck()


def test_a_grammar_that_fails_ends_its_own_sequence_only() -> None:
    prompt = prompts([12])[0]
    driver = Driver(engine())
    bad = driver.add(prompt, 20, StuckGrammar())
    good = driver.add(prompt, 20)
    found = driver.finish()
    error = found[bad].error
    assert error is not None
    assert (error.code, error.retryable) == ("response_format_failed", False)
    assert "LexerTooComplex" in error.message
    assert (found[good].error, found[good].tokens) == (None, 20)
    alone = Driver(engine())
    alone_id = alone.add(prompt, 20)
    assert alone.finish()[alone_id].text == found[good].text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"$ref": "http://elsewhere/schema"},
        {"type": "string", "pattern": "("},
        {"type": "array", "uniqueItems": True},
        {"not": {"type": "string"}},
        {"enum": []},
        {"type": "string", "format": "no-such"},
        {"x-guidance": {"lenient": True}, "type": "array", "uniqueItems": True},
    ],
)
def test_a_schema_that_cannot_be_obeyed_is_refused(
    grammars: Grammars, schema: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest, match="cannot be obeyed") as caught:
        compiled(grammars, schema)
    assert caught.value.param == "parameters.response_format"


def test_a_schema_is_compiled_once(grammars: Grammars) -> None:
    assert compiled(grammars, SCHEMAS["flat"]) is compiled(grammars, dict(SCHEMAS["flat"]))
    assert compiled(grammars, SCHEMAS["flat"]) is not compiled(grammars, None)
    assert grammars.compiled(None) is None
