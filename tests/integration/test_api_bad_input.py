"""Bad input gets a clear error that names the field, and nothing is lost."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.errors import UnknownModel
from tests.integration.front_door import GOOD, FrontDoor, refusal

LONG = "x" * 8_192  # as many tokens as the echo model's context


@pytest.fixture(autouse=True)
def _nothing_is_lost_or_added(door: FrontDoor) -> Iterator[None]:
    """Whatever a test sends: it adds no job, and the next good job is taken."""
    before = door.jobs()
    yield
    assert door.jobs() == before
    assert door.submit().status_code == 202
    assert door.jobs() == before + 1


def body(**changes: Any) -> str:
    return json.dumps(GOOD | changes)


def with_parameter(text: str) -> str:
    return json.dumps(GOOD)[:-1] + f', "parameters": {{{text}}}}}'


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "hello",
        "{",
        '{"task": "generate",}',
        "{'task': 'generate'}",
        '{"task": undefined}',
        "\ufeff{}",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"input":' + "[" * 100_000 + "]" * 100_000 + "}",
        with_parameter('"temperature": 1e'),
        r'{"task":"generate","model":"echo","input":{"prompt":"\ud800"}}',
        r'{"task":"generate","model":"echo","input":{"prompt":"\x41"}}',
        b'{"task":"generate","model":"echo","input":{"prompt":"\xff\xfe"}}',
        b'{"task":"generate","model":"echo","input":{"prompt":"\xed\xa0\x80"}}',
        json.dumps(GOOD).encode("utf-16"),
        b"\x00" * 100,
        b"\x1f\x8b\x08\x00",
    ],
    ids=lambda sent: repr(sent[:40]),
)
def test_what_is_not_json_is_400(sent: str | bytes, door: FrontDoor) -> None:
    status, code, param, message = refusal(door.submit(sent))
    assert (status, code, param) == (400, "invalid_json", None)
    assert "JSON" in message


@pytest.mark.parametrize("sent", ["null", "[]", "1", '"text"', "true"])
def test_json_that_is_no_object_is_422(sent: str, door: FrontDoor) -> None:
    status, code, _, message = refusal(door.submit(sent))
    assert (status, code) == (422, "invalid_request")
    assert "object" in message


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"task": 7}, "task"),
        ({"model": None}, "model"),
        ({"model": "echo\x00"}, "model"),
        ({"input": "hello"}, "input"),
        ({"input": {}}, "input.prompt"),
        ({"input": {"prompt": ""}}, "input.prompt"),
        ({"input": {"prompt": 5}}, "input.prompt"),
        ({"input": {"prompt": "a\x00b"}}, "input.prompt"),
        ({"input": {"prompts": "a"}}, "input.prompt"),
        ({"input": {"prompt": [[[[[]]]]]}}, "input.prompt"),
        ({"task": "chat", "input": {"prompt": "a"}}, "input.messages"),
        ({"task": "chat", "input": {"messages": []}}, "input.messages"),
        ({"task": "chat", "input": {"messages": [{"role": "user"}]}}, "input.messages.0.content"),
        (
            {"task": "chat", "input": {"messages": [{"role": "root", "content": "a"}]}},
            "input.messages.0.role",
        ),
        ({"parameters": {"max_tokens": -1}}, "parameters.max_tokens"),
        ({"parameters": {"max_tokens": True}}, "parameters.max_tokens"),
        ({"parameters": {"temperature": "hot"}}, "parameters.temperature"),
        ({"parameters": {"stop": ["a"] * 17}}, "parameters.stop"),
        ({"parameters": {"stop": [""]}}, "parameters.stop"),
        ({"parameters": {"best_of": 2}}, "parameters.best_of"),
        ({"priority": "now"}, "priority"),
        ({"deadline": 12345}, "deadline"),
        ({"deadline": "4102444800"}, "deadline"),
        ({"run_at": 1.5}, "run_at"),
        ({"run_at": "2026-01-01T00:00:00"}, "run_at"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "\x00"}}, "metadata.a"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"user": "me"}, "user"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_field_is_422_and_named(changes: dict[str, Any], param: str, door: FrontDoor) -> None:
    status, code, named, message = refusal(door.submit(GOOD | changes))
    assert (status, code) == (422, "invalid_request")
    assert named is not None
    assert named.startswith(param)
    assert param.rsplit(".", 1)[-1] in message


@pytest.mark.parametrize(
    "text",
    [
        '"temperature": NaN',
        '"temperature": Infinity',
        '"temperature": -Infinity',
        '"temperature": 1e400',
        '"top_p": NaN',
        '"max_tokens": 1' + "0" * 5_000,
        '"seed": 99999999999999999999',
    ],
    ids=lambda text: text[:30],
)
def test_numbers_that_are_none_are_refused_by_name(text: str, door: FrontDoor) -> None:
    status, code, param, _ = refusal(door.submit(with_parameter(text)))
    if code == "invalid_json":  # JSON itself has no NaN and bounds its digits
        assert status == 400
    else:
        assert (status, code) == (422, "invalid_request")
        assert param == f"parameters.{text.split(chr(34), 2)[1]}"


def test_an_unknown_task_is_400_and_the_known_ones_are_told(door: FrontDoor) -> None:
    status, code, param, message = refusal(door.submit(GOOD | {"task": "translate"}))
    assert (status, code, param) == (400, "task_not_found", "task")
    assert "generate" in message
    assert "translate" in message


@pytest.mark.parametrize(
    "name",
    ["nobody", "echo@2", "echo@0", "echo@", "@1", "echo@1@1", "echo@99999999999", "../echo",
     "Echo", "echo ", "e\u0301cho", "x" * 256],
)  # fmt: skip
def test_an_unknown_model_is_404(name: str, door: FrontDoor) -> None:
    status, code, param, message = refusal(door.submit(GOOD | {"model": name}))
    assert (status, code, param) == (404, UnknownModel.code, "model")
    assert len(message) < 300


def test_a_prompt_that_fills_the_context_is_400_before_it_is_queued(door: FrontDoor) -> None:
    status, code, param, message = refusal(door.submit(GOOD | {"input": {"prompt": LONG}}))
    assert (status, code, param) == (400, "context_length_exceeded", "input")
    assert "8,192" in message


def test_a_long_chat_is_400_as_well(door: FrontDoor) -> None:
    chat = {"messages": [{"role": "user", "content": "x" * 1_000}] * 9}
    status, code, param, _ = refusal(door.submit(GOOD | {"task": "chat", "input": chat}))
    assert (status, code, param) == (400, "context_length_exceeded", "input")


def test_a_prompt_beyond_any_model_is_refused_by_its_length(door: FrontDoor) -> None:
    status, _, param, _ = refusal(door.submit(GOOD | {"input": {"prompt": "x" * 400_001}}))
    assert (status, param) == (422, "input.prompt")


def test_a_completion_that_does_not_fit_beside_the_prompt_is_400(door: FrontDoor) -> None:
    wanted = {"input": {"prompt": LONG[:8_000]}, "parameters": {"max_tokens": 193}}
    status, code, param, message = refusal(door.submit(GOOD | wanted))
    assert (status, code, param) == (400, "context_length_exceeded", "parameters.max_tokens")
    assert "193" in message


@pytest.mark.parametrize("size", [1_000_001, 5_000_000])
def test_a_large_body_is_413(size: int, door: FrontDoor) -> None:
    status, code, _, message = refusal(door.submit(b" " * size))
    assert (status, code) == (413, "body_too_large")
    assert "1,000,000" in message


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "a\x7fb"])
def test_a_bad_idempotency_key_is_400(key: str, door: FrontDoor) -> None:
    status, _, param, _ = refusal(door.submit(headers={"Idempotency-Key": key}))
    assert (status, param) == (400, "Idempotency-Key")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("wait=-1", "wait"),
        ("wait=61", "wait"),
        ("wait=nan", "wait"),
        ("wait=inf", "wait"),
        ("wait=soon", "wait"),
        ("wait=", "wait"),
        ("timeout=1", "timeout"),
    ],
)
def test_a_bad_wait_is_422(query: str, param: str, door: FrontDoor) -> None:
    id = "018f0000-0000-7000-8000-000000000000"
    status, _, named, _ = refusal(door.get(f"/v1/jobs/{id}?{query}"))
    assert (status, named) == (422, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=1e1", "limit"),
        ("status=done", "status"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        ("model=echo@one", "model"),
        ("model=echo@1@1", "model"),
        ("model=%00", "model"),
        ("model=" + "x" * 129, "model"),
        ("task=%00", "task"),
        ("task=" + "x" * 65, "task"),
        ("tenant_id=x", "tenant_id"),
    ],
)
def test_a_bad_list_query_is_refused_by_name(query: str, param: str, door: FrontDoor) -> None:
    status, _, named, _ = refusal(door.get(f"/v1/jobs?{query}"))
    assert status in (400, 422)
    assert named == param


@pytest.mark.parametrize("query", ["model=nobody", "model=echo@999999999999999", "task=other",
                                   "model=%ED%A0%80", "model=%27%3B--"])  # fmt: skip
def test_a_filter_that_fits_nothing_is_an_empty_list(query: str, door: FrontDoor) -> None:
    response = door.get(f"/v1/jobs?{query}")
    assert response.status_code == 200
    assert response.get_json()["data"] == []


@pytest.mark.parametrize(
    "id",
    ["018f0000-0000-7000-8000-000000000000", "abc", "0", "%00", "..", "%27%20or%201=1", "a" * 64,
     "a" * 65, "a" * 5_000, "%F0%9F%98%80"],
)  # fmt: skip
@pytest.mark.parametrize(("method", "after"), [("GET", ""), ("POST", "/cancel")])
def test_an_unknown_or_malformed_id_is_404(
    method: str, after: str, id: str, door: FrontDoor
) -> None:
    status, code, _, message = refusal(door.send(method, f"/v1/jobs/{id}{after}"))
    assert status == 404
    assert code in ("job_not_found", "not_found")
    assert len(message) < 300


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["root"]}, "scopes.0"),
        ({"name": "a", "scopes": "jobs"}, "scopes"),
        ({"name": "a", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "a", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "expires_at": 4_000_000_000}, "expires_at"),
        ({"name": "a", "expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"name": "a", "expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
        ({"name": "a", "tenant": "b"}, "tenant"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_key_request_is_refused_by_name(
    sent: dict[str, Any], param: str, door: FrontDoor
) -> None:
    status, _, named, _ = refusal(door.send("POST", "/v1/keys", json=sent))
    assert status in (400, 422)
    assert named is not None
    assert named.startswith(param)
    assert door.get("/v1/keys").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/jobs/", 404),
        ("PUT", "/v1/jobs", 405),
        ("PATCH", "/v1/jobs/018f0000-0000-7000-8000-000000000000", 405),
        ("POST", "/health/live", 405),
    ],
)
def test_a_wrong_path_or_method_has_the_one_error_shape(
    method: str, path: str, status: int, door: FrontDoor
) -> None:
    assert refusal(door.send(method, path))[0] == status


def test_no_error_repeats_the_prompt(door: FrontDoor) -> None:
    secret = "CANARY-5512"
    for bad in (
        body(input={"prompt": secret + "\x00"}),
        body(input={"prompt": secret, "messages": []}),
        body(input={"prompt": [secret]}),
        body(input={"prompt": secret}, parameters={"stop": [secret + "\x00"]}),
        body(input={"prompt": secret})[:-1],
    ):
        response = door.submit(bad)
        assert response.status_code in (400, 422)
        assert secret not in response.text
