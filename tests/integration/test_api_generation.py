"""What a request may ask of generation is refused by name where it cannot be had."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from models_store.importer import import_folder
from tests.integration.front_door import GOOD, FrontDoor, front_door, refusal
from tests.integration.job_samples import rows
from tests.unit.model_store_files import write_lm

FORM: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "it", "schema": {}}}


@pytest.fixture(scope="module")
def door(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontDoor]:
    folder = tmp_path_factory.mktemp("door")
    with front_door(folder, database_url=module_database_url, redis_url=redis_url) as opened:
        # 300 token ids, 128 tokens of context.
        import_folder(
            write_lm(folder / "lm"),
            name="tiny",
            models_folder=folder / "store" / "models",
            engine=opened.engine,
        )
        yield opened


def asked(door: FrontDoor, model: str = "tiny", **parameters: Any) -> tuple[int, str, str | None]:
    return refusal(door.submit(GOOD | {"model": model, "parameters": parameters}))[:3]


def schema(definition: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": definition}}


def test_a_model_that_gives_no_form_is_not_asked_for_one(door: FrontDoor) -> None:
    where = "parameters.response_format"
    for form in ({"type": "json_object"}, FORM):
        assert asked(door, "echo", response_format=form) == (400, "unsupported_parameter", where)
    door.accepted(parameters={"response_format": {"type": "text"}})


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "nothing"},
        {"type": "array", "uniqueItems": True},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "http://127.0.0.1:1/"},
        {"type": "string", "pattern": "(a"},
    ],
)
def test_a_schema_that_cannot_be_obeyed_is_refused_at_submit(
    door: FrontDoor, definition: dict[str, Any]
) -> None:
    where = "parameters.response_format"
    assert asked(door, response_format=schema(definition)) == (400, "invalid_request", where)


def test_a_schema_that_can_be_obeyed_is_taken(door: FrontDoor) -> None:
    for form in ({"type": "json_object"}, FORM, schema({"type": "array", "items": {}})):
        door.accepted(model="tiny", parameters={"response_format": form})


def test_a_deep_or_large_schema_is_refused_before_it_is_compiled(door: FrontDoor) -> None:
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"properties": {"a": deep}}
    for definition in (deep, {"enum": ["x" * 1000] * 70}):
        status, code, where = asked(door, response_format=schema(definition))
        assert (status, code) == (422, "invalid_request")
        assert where == "parameters.response_format.json_schema.schema"


def test_token_ids_are_those_of_the_model(door: FrontDoor) -> None:
    door.accepted(model="tiny", parameters={"logit_bias": {"299": 1}, "stop_token_ids": [299]})
    assert asked(door, logit_bias={"300": 1})[2] == "parameters.logit_bias"
    assert asked(door, stop_token_ids=[1, 300])[2] == "parameters.stop_token_ids"


def test_a_result_holds_so_many_logprobs(door: FrontDoor) -> None:
    ask = {"logprobs": True, "top_logprobs": 20, "n": 16, "max_tokens": 1_600}
    assert asked(door, "echo", **ask) == (400, "invalid_request", "parameters.logprobs")
    door.accepted(parameters=ask | {"max_tokens": 1_000})


def test_several_completions_are_counted_as_such(door: FrontDoor) -> None:
    id = door.accepted(parameters={"n": 4, "max_tokens": 10}).id
    [found] = rows(
        door.engine,
        "SELECT max_tokens, parameters FROM jobs JOIN job_inputs ON job_id = id WHERE id = :id",
        id=UUID(id),
    )
    assert (found.max_tokens, found.parameters) == (40, {"n": 4, "max_tokens": 10})
