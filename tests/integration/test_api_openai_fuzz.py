"""Whatever is sent to OpenAI's routes: an answer of theirs, never a server error."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.openai import work
from routing.openai import requests, response_requests
from routing.openai.fields import Body
from tests.integration.front_door import FrontDoor

GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "echo", "messages": [{"role": "user", "content": "hello"}]},
    "/v1/completions": {"model": "echo", "prompt": "hello"},
    "/v1/responses": {"model": "echo", "input": [{"role": "user", "content": "hello"}]},
}
FIELDS: dict[str, type[Body]] = {
    "/v1/chat/completions": requests.ChatRequest,
    "/v1/completions": requests.CompletionRequest,
    "/v1/responses": response_requests.ResponseRequest,
}

words = st.sampled_from(["type", "text", "role", "content", "user", "echo", "format", "message"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    path = draw(st.sampled_from(sorted(GOOD)))
    fields = st.sampled_from(sorted(FIELDS[path].model_fields))
    changes = draw(st.dictionaries(fields, values, min_size=1, max_size=3))
    inside = draw(st.dictionaries(words | st.just("name"), values, max_size=2))
    body = GOOD[path] | changes
    for turns in ("messages", "input"):
        if inside and turns in GOOD[path] and turns not in changes:
            body = body | {turns: [GOOD[path][turns][0] | inside]}
    return path, body


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked())
def test_no_body_is_a_server_error(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch, made: tuple[str, dict[str, Any]]
) -> None:
    monkeypatch.setattr(work, "LONGEST_WAIT_S", 0.0)
    path, body = made
    told = door.send("POST", path, data=json.dumps(body), content_type="application/json",
                     buffered=False)  # fmt: skip
    try:
        assert told.status_code in (200, 400, 404, 422, 504), told.text
        if told.status_code not in (200, 504):
            error = told.get_json()["error"]
            assert error["type"] == "invalid_request_error"
            assert error["code"]
            named = (error["param"] or "").split(".")[0]
            assert named == "" or named in body or named in FIELDS[path].model_fields
    finally:
        told.close()
