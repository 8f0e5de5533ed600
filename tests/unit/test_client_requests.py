"""What the client sends, and what it does when the answer is not what it hoped for."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lmaas import Client, LimitExceeded, RequestRefused, ServerFailed, ServerUnreachable
from lmaas.errors import BadUsage
from lmaas.local import ports
from tests.unit.scripted_server import KEY, Answer, ScriptedServer, job, refusal, running


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running() as started:
        yield started


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.url, KEY, patience_s=3) as opened:
        yield opened


def test_a_submit_carries_the_key_the_envelope_and_an_idempotency_key(
    server: ScriptedServer, client: Client
) -> None:
    submitted = client.submit(model="echo", prompt="hi", max_tokens=5, metadata={"a": "b"})
    sent = server.requests[0]
    assert submitted.status == "queued"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert len(sent.headers["idempotency-key"]) == 36
    assert sent.body == {
        "task": "generate",
        "model": "echo",
        "input": {"prompt": "hi"},
        "parameters": {"max_tokens": 5},
        "priority": "normal",
        "metadata": {"a": "b"},
    }


def test_messages_make_a_chat_and_a_prompt_becomes_a_message_for_chat(
    server: ScriptedServer, client: Client
) -> None:
    message = {"role": "user", "content": "hi"}
    client.submit(model="echo", messages=[message])
    client.submit(model="echo", task="chat", prompt="hi")
    first, second = (request.body for request in server.requests)
    assert first == second
    assert first["task"] == "chat"
    assert first["input"] == {"messages": [message]}


def test_two_ways_to_give_the_input_are_refused_before_anything_is_sent(
    server: ScriptedServer, client: Client
) -> None:
    with pytest.raises(BadUsage, match="exactly one"):
        client.submit(model="echo", prompt="a", input={"prompt": "b"})
    assert server.requests == []


def test_a_submit_whose_answer_was_lost_is_sent_again_under_the_same_key(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [Answer(drop=True), refusal(503, "database_unavailable", Retry_After="0")]
    assert client.submit(model="echo", prompt="hi").id == "job-0"
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert len(server.requests) == 3
    assert len(keys) == 1


def test_a_new_api_key_is_not_asked_for_twice_when_the_answer_is_lost(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [Answer(drop=True)]
    with pytest.raises(ServerUnreachable):
        client.keys.create("ci")
    assert len(server.requests) == 1


def test_a_bad_gateway_may_have_made_the_key_so_it_is_not_asked_again(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [Answer(502, b"proxy")]
    with pytest.raises(ServerFailed):
        client.keys.create("ci")
    assert len(server.requests) == 1


def test_retry_after_is_waited_for(server: ScriptedServer, client: Client) -> None:
    server.script = [refusal(429, "rate_limited", Retry_After="0.4")]
    begun = time.monotonic()
    client.submit(model="echo", prompt="hi")
    assert time.monotonic() - begun >= 0.4


def limited(*, wait: str, again: str = "true") -> Answer:
    answer = refusal(429, "rate_limit_exceeded", Retry_After=wait)
    answer.headers["x-should-retry"] = again
    answer.body["error"]["limit"] = "requests_per_minute"
    return answer


def test_a_limit_is_waited_out_longer_than_a_fault(server: ScriptedServer) -> None:
    server.script = [limited(wait="1")]
    with Client(server.url, KEY, patience_s=0.5) as client:
        assert client.submit(model="echo", prompt="hi").status == "queued"
    assert len(server.requests) == 2


def test_a_limit_that_lasts_is_an_error_with_its_name(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [limited(wait="60")]
    with pytest.raises(LimitExceeded) as refused:
        client.submit(model="echo", prompt="hi")
    assert (refused.value.limit, refused.value.retry_after_s) == ("requests_per_minute", 60)
    assert len(server.requests) == 1


def test_what_can_never_pass_is_not_tried_again(server: ScriptedServer, client: Client) -> None:
    server.script = [limited(wait="1", again="false")]
    with pytest.raises(LimitExceeded):
        client.submit(model="echo", prompt="hi")
    assert len(server.requests) == 1


def test_a_retry_after_beyond_the_patience_is_an_error_at_once(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [refusal(503, "database_unavailable", Retry_After="30")]
    begun = time.monotonic()
    with pytest.raises(ServerFailed) as caught:
        client.submit(model="echo", prompt="hi")
    assert caught.value.code == "database_unavailable"
    assert time.monotonic() - begun < 2


def test_a_refusal_names_code_and_field_and_is_not_repeated(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [refusal(400, "context_length_exceeded", "too long")]
    with pytest.raises(RequestRefused, match="too long") as caught:
        client.submit(model="echo", prompt="hi")
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
    assert caught.value.param == "input"
    assert len(server.requests) == 1


def test_an_answer_that_is_no_json_is_an_error_with_a_name(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [Answer(200, b"<html>"), Answer(500, b"<html>")]
    for _ in range(2):
        with pytest.raises(ServerFailed):
            client.get("job-1")


def test_no_server_is_a_sentence_with_the_address_after_the_patience() -> None:
    port = ports.choose()
    with (
        Client(f"http://127.0.0.1:{port}", KEY, patience_s=0.3) as client,
        pytest.raises(ServerUnreachable, match=f"127.0.0.1:{port}"),
    ):
        client.models()


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "", "http://"])
def test_what_is_no_url_of_a_server_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAAS_URL", url or "nonsense")
    with pytest.raises(BadUsage, match="not a URL"):
        Client(url or None, KEY)


@pytest.mark.parametrize(
    ("prompt", "parameters"),
    [("lone \ud800", {}), ("hi", {"temperature": float("nan")}), ("hi", {"stop": object()})],
)
def test_what_json_cannot_hold_is_wrong_usage(
    server: ScriptedServer, client: Client, prompt: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(BadUsage, match="cannot be written as JSON"):
        client.submit(model="echo", prompt=prompt, **parameters)
    assert server.requests == []


@pytest.mark.parametrize("body", [{"id": 1}, {"data": None}, {"data": [7]}])
def test_an_answer_of_some_other_server_is_an_error_with_a_name(
    server: ScriptedServer, client: Client, body: dict[str, Any]
) -> None:
    server.script = [Answer(200, body), Answer(200, body)]
    with pytest.raises(ServerFailed, match="none of LMaaS"):
        client.get("job-1")
    with pytest.raises(ServerFailed, match="none of LMaaS"):
        client.models()


@pytest.mark.parametrize("job_id", ["", "../keys", "a b", "a/b"])
def test_what_is_no_id_never_becomes_a_path(
    server: ScriptedServer, client: Client, job_id: str
) -> None:
    with pytest.raises(BadUsage):
        client.get(job_id)
    assert server.requests == []


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.jobs["job-1"] = job("job-1")
    with Client(server.url, KEY, patience_s=0) as client:
        assert client.get("job-1").ended
