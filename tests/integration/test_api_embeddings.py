"""Embeddings at the front door: what is taken, what is refused, what is counted and told."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from api.openai.answers import EmbeddingList
from api.schemas import JobAnswer
from jobs import embeddings
from jobs.embed_input import MAX_TEXTS
from jobs.envelopes import ClaimedJob, Outcome
from jobs.states import State
from models_store.echo import CONTEXT_LENGTH
from tests.conditions import eventually
from tests.integration.front_door import FrontDoor, read, refusal
from tests.integration.job_samples import MODEL, VERSION, a_worker, empty, release_all, rows
from workers.engines.echo_vectors import vector


@pytest.fixture(autouse=True)
def _nothing_waits(door: FrontDoor) -> None:
    empty(door.engine)


def ask(door: FrontDoor, given: object, **more: Any) -> TestResponse:
    return door.send("POST", "/v1/embeddings", json={"model": "echo", "input": given, **more})


def native(door: FrontDoor, given: object, **more: Any) -> TestResponse:
    return door.submit({"task": "embed", "model": "echo", "input": {"input": given}, **more})


def claim(door: FrontDoor) -> tuple[UUID, ClaimedJob]:
    worker_id = a_worker(door.engine)

    def try_it() -> ClaimedJob | None:
        release_all(door.manager)
        return next(iter(door.manager.claim(worker_id, MODEL, VERSION, 1)), None)

    return worker_id, eventually(try_it, within_s=10)


def success(job: ClaimedJob) -> Outcome:
    vectors = {number: vector([number]) for number in range(len(job.input["input"]))}
    return Outcome(
        job.id, job.attempt, State.SUCCEEDED, "stop", details=embeddings.details(vectors)
    )


def answered(door: FrontDoor, outcome: Outcome | None = None, **more: Any) -> TestResponse:
    """What somebody is told whose two texts are read by a worker of the test."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, door, ["a", "bc"], **more)
        worker_id, job = claim(door)
        ended = replace(outcome, id=job.id, attempt=job.attempt) if outcome else success(job)
        assert door.manager.finish(worker_id, [ended])
        return waiting.result(timeout=20)


def test_the_answer_holds_a_vector_of_each_text_and_counts_what_was_read(door: FrontDoor) -> None:
    made = read(answered(door), EmbeddingList)
    assert [(item.index, item.object) for item in made.data] == [(0, "embedding"), (1, "embedding")]
    assert isinstance(made.data[1].embedding, list)
    assert made.data[1].embedding == pytest.approx(embeddings.numbers_of(vector([1])))
    assert (made.model, made.usage.prompt_tokens, made.usage.total_tokens) == ("echo@1", 3, 3)


def test_base64_is_the_stored_vector_itself(door: FrontDoor) -> None:
    made = read(answered(door, encoding_format="base64"), EmbeddingList)
    assert isinstance(made.data[0].embedding, str)
    assert embeddings.numbers(made.data[0].embedding) == embeddings.numbers_of(vector([0]))


def test_a_native_job_shows_its_vectors_and_a_list_of_jobs_does_not(door: FrontDoor) -> None:
    accepted = read(native(door, ["a", [98, 99]], parameters={"normalize": False}), JobAnswer)
    worker_id, job = claim(door)
    assert job.input == {"input": ["a", [98, 99]]}
    assert job.parameters == {"normalize": False}
    door.manager.finish(worker_id, [success(job)])
    ended = read(door.get(f"/v1/jobs/{accepted.id}"), JobAnswer)
    assert ended.result is not None
    assert ended.result.embeddings == [
        embeddings.numbers_of(vector([0])),
        embeddings.numbers_of(vector([1])),
    ]
    assert (ended.result.text, ended.result.usage.prompt_tokens) == (None, 3)
    assert ended.result.usage.completion_tokens == 0
    assert "embeddings" not in door.get("/v1/jobs").text


def test_a_cancelled_job_has_no_vectors(door: FrontDoor) -> None:
    accepted = read(native(door, ["a"]), JobAnswer)
    worker_id, job = claim(door)
    door.send("POST", f"/v1/jobs/{accepted.id}/cancel")
    door.manager.finish(worker_id, [Outcome(job.id, job.attempt, State.CANCELLED, "cancelled")])
    ended = read(door.get(f"/v1/jobs/{accepted.id}"), JobAnswer)
    assert (ended.status, ended.result) == (State.CANCELLED, None)


def test_reading_is_charged_by_the_tokens_that_were_read(door: FrontDoor) -> None:
    native(door, ["abcd", "ef"])
    worker_id, job = claim(door)
    door.manager.finish(worker_id, [success(job)])
    [settled] = rows(door.engine, "SELECT * FROM settlements")
    assert (settled.charged, settled.prompt_tokens, settled.completion_tokens) == (6, 6, 0)
    assert settled.service_s is None  # it says nothing of how fast the model writes


@pytest.mark.parametrize("given", ["a text", ["a"], [1, 2], [[1, 2], [3]], ["a", "b"]])
def test_texts_and_token_ids_are_taken_alone_or_in_lists(door: FrontDoor, given: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, door, given)
        worker_id, job = claim(door)
        door.manager.finish(worker_id, [success(job)])
        made = read(waiting.result(timeout=20), EmbeddingList)
    alone = isinstance(given, str) or isinstance(given[0], int)
    assert len(made.data) == (1 if alone else len(given))


@pytest.mark.parametrize(
    ("given", "param", "said"),
    [
        ("", "input", "at least 1"),
        (["a", ""], "input.1", "at least 1"),
        ([], "input", "at least 1"),
        ([[]], "input.0", "at least 1"),
        ([1, "a"], "input", "token 1"),
        ([[1], [-1]], "input.1", "token 0"),
        ([["a"]], "input.0", "token 0"),
        ([True], "input", "token 0"),
        ([None], "input.0", "neither"),
        ({"a": 1}, "input", "a text, a list"),
        (None, "input", "a text, a list"),
        ("a\x00", "input", "NUL"),
        (["a\x00"], "input.0", "NUL"),
        (["a"] * (MAX_TEXTS + 1), "input", "2048"),
    ],
    ids=str,
)
def test_input_that_cannot_be_read_is_refused_with_its_place(
    door: FrontDoor, given: Any, param: str, said: str
) -> None:
    status, code, where, message = refusal(ask(door, given))
    assert (status, code, where) == (400, "invalid_value", param)
    assert said in message
    assert door.jobs() == 0


def test_a_text_that_is_too_long_is_named_by_its_number(door: FrontDoor) -> None:
    long = ["a", "b" * (CONTEXT_LENGTH + 1)]
    status, code, where, message = refusal(ask(door, long))
    assert (status, code, where) == (400, "context_length_exceeded", "input.1")
    assert "8,193" in message
    assert refusal(ask(door, long[1]))[2] == "input"
    status, code, where, _ = refusal(native(door, long))
    assert (status, code, where) == (400, "context_length_exceeded", "input.input.1")
    assert door.jobs() == 0


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"dimensions": 64}, "unsupported_parameter", "dimensions"),
        ({"encoding_format": "int8"}, "unsupported_value", "encoding_format"),
        ({"truncate": True}, "unknown_parameter", "truncate"),
        ({"stream": True}, "unknown_parameter", "stream"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    door: FrontDoor, more: dict[str, Any], code: str, param: str
) -> None:
    assert refusal(ask(door, "a", **more))[:3] == (400, code, param)


def test_parameters_belong_to_their_task(door: FrontDoor) -> None:
    status, code, where, message = refusal(native(door, ["a"], parameters={"temperature": 1}))
    assert (status, code, where) == (400, "unsupported_parameter", "parameters.temperature")
    assert "normalize" in message
    refused = door.submit({"task": "generate", "model": "echo", "input": {"prompt": "a"},
                           "parameters": {"normalize": True}})  # fmt: skip
    assert refusal(refused)[:3] == (400, "unsupported_parameter", "parameters.normalize")


def test_a_failed_job_fails_the_request(door: FrontDoor) -> None:
    failed = Outcome(UUID(int=0), 0, State.FAILED, error_code="engine_failed", error_message="no")
    assert refusal(answered(door, failed))[:2] == (500, "engine_failed")
