"""How jobs end, as OpenAI's routes tell it, with a worker that the tests play themselves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from api.openai import work
from api.openai.response_events import ResponseStory
from bells.token_stream import Delta
from jobs import job_events, job_views, keys
from jobs.envelopes import ClaimedJob, Outcome
from jobs.errors import EngineFailed, PromptTooLong
from jobs.job_events import Event
from jobs.states import State
from tests.conditions import eventually
from tests.integration.front_door import FrontDoor, refusal
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_worker,
    failure,
    release_all,
    rows,
    success,
)

CHAT: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


def claimed(door: FrontDoor) -> tuple[UUID, ClaimedJob]:
    """The next job, in the hands of a worker."""
    worker_id = a_worker(door.engine)

    def claim() -> ClaimedJob | None:
        release_all(door.manager)
        return next(iter(door.manager.claim(worker_id, MODEL, VERSION, 1)), None)

    return worker_id, eventually(claim, within_s=10)


def chat(door: FrontDoor, **changes: Any) -> TestResponse:
    return door.send("POST", "/v1/chat/completions", json=CHAT | changes)


def answered(door: FrontDoor, outcome: Outcome) -> TestResponse:
    """What somebody is told who waits for a job that ends like that."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(chat, door)
        worker_id, job = claimed(door)
        assert door.manager.finish(worker_id, [replace(outcome, id=job.id, attempt=job.attempt)])
        return waiting.result(timeout=20)


SOME_ID = UUID(int=0)


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Outcome(SOME_ID, 1, State.FAILED, error_code=EngineFailed.code), 500, EngineFailed.code),
        (Outcome(SOME_ID, 1, State.FAILED, error_code=PromptTooLong.code), 400, PromptTooLong.code),
        (Outcome(SOME_ID, 1, State.EXPIRED, error_code="deadline_exceeded"), 504,
         "deadline_exceeded"),
    ],
    ids=["engine", "prompt", "deadline"],
)  # fmt: skip
def test_a_job_that_ends_badly_is_an_error_that_no_retry_mends(
    door: FrontDoor, outcome: Outcome, status: int, code: str
) -> None:
    told = answered(door, outcome)
    assert refusal(told)[:2] == (status, code)
    assert told.headers["x-should-retry"] == "false"
    [row] = rows(door.engine, "SELECT id FROM jobs ORDER BY id DESC LIMIT 1")
    assert str(row.id) in told.text


def test_a_wait_that_takes_too_long_names_the_job_that_goes_on(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LONGEST_WAIT_S", 0.1)
    told = chat(door)
    assert refusal(told)[:2] == (504, "wait_timeout")
    assert told.headers["x-should-retry"] == "false"
    worker_id, job = claimed(door)
    assert str(job.id) in told.text
    assert door.manager.finish(worker_id, [success(job, "late")])


def test_a_failed_response_is_read_as_failed(door: FrontDoor) -> None:
    body = {"model": "echo", "input": "hello", "background": True}
    made = door.send("POST", "/v1/responses", json=body).get_json()
    worker_id, job = claimed(door)
    assert door.manager.finish(worker_id, [failure(job)])
    read = door.get(f"/v1/responses/{made['id']}").get_json()
    assert (made["status"], read["status"], read["output"]) == ("queued", "failed", [])
    assert read["error"]["code"] == "server_error"
    assert read["error"]["type"] == failure(job).error_code


@pytest.mark.parametrize("name", ["include", "include[]"])
def test_logprobs_are_included_only_in_a_response_that_was_to_have_them(
    name: str, door: FrontDoor
) -> None:
    body = {"model": "echo", "input": "hello", "background": True}
    wanted = "message.output_text.logprobs"
    plain = door.send("POST", "/v1/responses", json=body).get_json()["id"]
    told = refusal(door.get(f"/v1/responses/{plain}?{name}={wanted}"))
    assert told[:3] == (400, "unsupported_value", "include")
    told = refusal(door.get(f"/v1/responses/{plain}?{name}={wanted}&stream=true"))
    assert told[:3] == (400, "unsupported_value", "include")
    asked = door.send("POST", "/v1/responses", json=body | {"include": [wanted]})
    path = f"/v1/responses/{asked.get_json()['id']}"
    assert door.get(f"{path}?{name}={wanted}&{name}={wanted}").status_code == 200
    told = refusal(door.get(f"{path}?{name}=reasoning.encrypted_content"))
    assert told[:3] == (400, "unsupported_value", f"{name}.0")
    for made in (f"/v1/responses/{plain}", path):
        assert door.send("POST", f"{made}/cancel").status_code == 200


def test_what_openai_has_beside_responses_is_not_found(door: FrontDoor) -> None:
    for name in ("compact", "input_tokens"):
        told = door.send("POST", f"/v1/responses/{name}", json={"model": "echo"})
        assert refusal(told)[:2] == (404, "not_found")
        assert refusal(door.get(f"/v1/responses/{name}"))[:2] == (404, "response_not_found")
    assert door.send("POST", "/v1/responses/resp_1").status_code == 405


class Scripted:
    """A hub whose follower hears what it is told to, in this order."""

    closing = False

    def __init__(self, *heard: tuple[list[Event], list[Delta]]) -> None:
        self._heard = iter(heard)

    @contextmanager
    def follow(self, job_id: UUID, *, after: int = 0) -> Iterator["Scripted"]:
        yield self

    def take(self, wait_s: float) -> tuple[list[Event], list[Delta]]:
        return next(self._heard)


def test_a_new_reader_is_not_told_the_text_of_an_attempt_that_was_lost(door: FrontDoor) -> None:
    body = {"model": "echo", "input": "hello", "background": True}
    assert door.send("POST", "/v1/responses", json=body).status_code == 200
    worker_id, first = claimed(door)
    door.manager.give_back(worker_id, [first.id])
    for attempt in (1, 2):  # waiting for its second run, and in it
        view = job_views.get_many(door.engine, [first.id])[first.id]
        kept = job_views.asked(door.engine, first.id)
        assert (view.attempt, kept is not None) == (attempt, True)
        hub: Any = Scripted(
            ([], [Delta(1, 0, "void")]),  # from Redis, before Postgres is looked at
            (job_events.events(door.engine, [first.id]), [Delta(2, 0, "good")]),
        )
        services = replace(door.services, streams=hub)
        told = ResponseStory(services, view, kept or {}, -1).tell()
        assert '"delta":"good"' in next(line for line in told if "output_text.delta" in line)
        if attempt == 1:
            worker_id, again = claimed(door)
            assert (again.id, again.attempt) == (first.id, 2)
    assert door.manager.finish(worker_id, [success(again, "good")])


def test_openais_defaults_reach_the_worker(door: FrontDoor) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(chat, door, seed=-1, top_p=0, stop="x")
        worker_id, job = claimed(door)
        assert door.manager.finish(worker_id, [success(job, "fine")])
        assert waiting.result(timeout=20).status_code == 200
    parameters = job.parameters
    assert parameters["temperature"] == 1
    assert 0 < parameters["top_p"] < 1e-6
    assert (parameters["seed"], parameters["stop"]) == (2**63 - 1, ["x"])
    assert parameters["max_tokens"] > 8_000  # what the context leaves


def test_an_error_never_repeats_the_prompt(door: FrontDoor) -> None:
    secret = "CANARY-5513"
    bad: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": secret + "\x00"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": [secret]}]}]},
        {"messages": secret},
        {"stop": [secret + "\x00"]},
        {"tools": [secret]},
    ]
    for changes in bad:
        told = chat(door, **changes)
        assert told.status_code == 400
        assert secret not in told.text


def test_a_key_without_the_scope_is_told_so(door: FrontDoor) -> None:
    _, secret = keys.create(door.engine, door.tenant_id, "nothing", [])
    for path, body in (
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"model": "echo", "prompt": "hello"}),
        ("/v1/responses", {"model": "echo", "input": "hello"}),
    ):
        told = door.send("POST", path, json=body, key=secret)
        assert refusal(told)[:2] == (403, "insufficient_scope")
