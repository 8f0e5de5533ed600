"""/v1/jobs over HTTP, with a worker that the tests play themselves."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from api.operation_schemas import ModelList, QueueList
from api.schemas import JobAnswer, JobList, LiveAnswer, ReadyAnswer
from jobs.envelopes import ClaimedJob
from jobs.states import State
from tests.conditions import eventually
from tests.integration.front_door import GOOD, FrontDoor, read, refusal
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_worker,
    failure,
    history,
    release_all,
    rows,
    success,
)


def run(door: FrontDoor, id: str) -> tuple[UUID, ClaimedJob]:
    """Puts a job into the hands of a worker."""
    release_all(door.manager)
    worker_id = a_worker(door.engine)
    jobs = door.manager.claim(worker_id, MODEL, VERSION, 1_000)
    mine = next(job for job in jobs if str(job.id) == id)
    door.manager.give_back(worker_id, [job.id for job in jobs if job is not mine])
    return worker_id, mine


def finish(door: FrontDoor, id: str, said: str = "hello") -> None:
    worker_id, job = run(door, id)
    assert door.manager.finish(worker_id, [success(job, said)])


def get(door: FrontDoor, id: str, query: str = "") -> JobAnswer:
    response = door.get(f"/v1/jobs/{id}{query}")
    assert response.status_code == 200
    return read(response, JobAnswer)


def test_an_accepted_job_says_where_it_is(door: FrontDoor) -> None:
    response = door.submit(GOOD | {"metadata": {"team": "blau"}, "priority": "batch"})
    assert response.status_code == 202
    job = read(response, JobAnswer)
    assert response.headers["Location"] == job.urls.self == f"/v1/jobs/{job.id}"
    assert job.urls.cancel == f"/v1/jobs/{job.id}/cancel"
    assert (job.status, job.model, job.attempt) == (State.QUEUED, "echo@1", 0)
    assert (job.metadata, job.priority) == ({"team": "blau"}, "batch")
    assert (job.result, job.error) == (None, None)
    assert job.timings.started_at is None
    assert get(door, job.id) == job


def test_the_record_holds_who_asked_for_what(door: FrontDoor) -> None:
    job = door.accepted(model="parrot", parameters={"max_tokens": 3, "stop": "x"})
    [found] = rows(
        door.engine,
        "SELECT * FROM jobs JOIN job_inputs ON job_id = id WHERE id = :id",
        id=UUID(job.id),
    )
    assert (found.tenant_id, found.client_address) == (door.tenant_id, "127.0.0.1")
    assert (found.model, found.version, found.max_tokens) == ("echo", 1, 3)
    assert found.input == {"prompt": "hello"}
    assert found.parameters["stop"] == "x"


def test_a_finished_job_has_a_result_and_ordered_times(door: FrontDoor) -> None:
    id = door.accepted().id
    finish(door, id, said="grüße \u2028 😀")
    job = get(door, id)
    assert (job.status, job.attempt) == (State.SUCCEEDED, 1)
    assert job.result is not None
    assert (job.result.text, job.result.finish_reason) == ("grüße \u2028 😀", "stop")
    usage = job.result.usage
    assert usage.prompt_tokens == len("hello")
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    times = job.timings
    assert times.started_at and times.first_token_at and times.finished_at
    assert times.queued_at <= times.started_at <= times.finished_at
    assert times.first_token_at <= times.finished_at
    queued, first, ended = map(
        datetime.fromisoformat, (times.queued_at, times.first_token_at, times.finished_at)
    )
    assert times.time_to_first_token_s == (first - queued).total_seconds()
    assert times.inter_token_s == (ended - first).total_seconds() / (usage.completion_tokens - 1)
    listed = read(door.get("/v1/jobs?limit=100"), JobList).data
    assert [job.timings for job in listed if job.id == id] == [times]


def test_a_failed_job_has_an_error_and_no_result(door: FrontDoor) -> None:
    id = door.accepted().id
    worker_id, claimed = run(door, id)
    door.manager.finish(worker_id, [failure(claimed)])
    job = get(door, id)
    assert (job.status, job.result) == (State.FAILED, None)
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("engine_failed", "it broke")


def test_a_default_completion_is_cut_to_what_fits_the_context(door: FrontDoor) -> None:
    job = door.accepted(input={"prompt": "x" * 8_190})
    [found] = rows(door.engine, "SELECT max_tokens FROM jobs WHERE id = :id", id=UUID(job.id))
    assert found.max_tokens == 2


def test_a_limit_of_null_is_all_that_fits_the_context(door: FrontDoor) -> None:
    job = door.accepted(input={"prompt": "x" * 8_000}, parameters={"max_tokens": None})
    [found] = rows(door.engine, "SELECT max_tokens FROM jobs WHERE id = :id", id=UUID(job.id))
    assert found.max_tokens == 192


@pytest.mark.parametrize("text", ["a", " ", "\n\t", "😀", "\u2028", "\ufffd", "<|end|>", "'; --"])
def test_any_text_that_is_text_is_a_prompt(text: str, door: FrontDoor) -> None:
    door.accepted(input={"prompt": text})
    door.accepted(task="chat", input={"messages": [{"role": "user", "content": text}]})


def test_a_waiting_job_is_cancelled_at_once(door: FrontDoor) -> None:
    id = door.accepted().id
    job = read(door.send("POST", f"/v1/jobs/{id}/cancel"), JobAnswer)
    assert (job.status, job.cancel_requested, job.result) == (State.CANCELLED, True, None)
    assert job.timings.finished_at is not None
    assert read(door.send("POST", f"/v1/jobs/{id}/cancel"), JobAnswer) == job


def test_the_cancel_of_a_running_job_is_a_wish_until_the_worker_obeys(door: FrontDoor) -> None:
    id = door.accepted().id
    worker_id, claimed = run(door, id)
    job = read(door.send("POST", f"/v1/jobs/{id}/cancel"), JobAnswer)
    assert (job.status, job.cancel_requested) == (State.RUNNING, True)
    door.manager.finish(worker_id, [success(claimed, "hel")])
    job = get(door, id)
    assert job.status == State.CANCELLED
    assert job.result is not None
    assert (job.result.text, job.result.finish_reason) == ("hel", "cancelled")


def test_the_cancel_of_a_finished_job_is_200_and_changes_nothing(door: FrontDoor) -> None:
    id = door.accepted().id
    finish(door, id)
    before, events = get(door, id), history(door.engine, UUID(id))
    response = door.send("POST", f"/v1/jobs/{id}/cancel")
    assert response.status_code == 200
    assert read(response, JobAnswer) == before == get(door, id)
    assert history(door.engine, UUID(id)) == events


def test_the_same_idempotency_key_gives_the_same_job(door: FrontDoor) -> None:
    count = door.jobs()
    headers = {"Idempotency-Key": "once"}
    first = door.submit(headers=headers)
    again = door.submit(headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.get_json()["id"] == again.get_json()["id"]
    assert again.headers["Location"] == first.headers["Location"]
    finish(door, first.get_json()["id"])
    ended = door.submit(headers=headers)
    assert (ended.status_code, ended.get_json()["status"]) == (200, "succeeded")
    assert door.jobs() == count + 1


def test_the_same_idempotency_key_with_another_body_is_422(door: FrontDoor) -> None:
    headers = {"Idempotency-Key": "twice"}
    assert door.submit(headers=headers).status_code == 202
    count = door.jobs()
    other = door.submit(GOOD | {"priority": "batch"}, headers=headers)
    assert refusal(other)[:3] == (422, "idempotency_key_reused", "Idempotency-Key")
    assert door.jobs() == count


def test_an_idempotency_key_belongs_to_a_tenant(door: FrontDoor) -> None:
    headers = {"Idempotency-Key": "shared"}
    mine = door.submit(headers=headers).get_json()["id"]
    theirs = door.submit(headers=headers, key=door.key(tenant="neighbour"))
    assert theirs.status_code == 202
    assert theirs.get_json()["id"] != mine


def test_a_list_pages_through_every_job_once(door: FrontDoor) -> None:
    key = door.key(tenant="lister")
    made = [door.submit(key=key).get_json()["id"] for _ in range(12)]
    seen: list[str] = []
    query = "?limit=5"
    while True:
        page = read(door.get(f"/v1/jobs{query}", key=key), JobList)
        seen += [job.id for job in page.data]
        if page.next_cursor is None:
            break
        query = f"?limit=5&cursor={page.next_cursor}"
    assert seen == sorted(made, reverse=True)


def test_a_list_can_be_narrowed_and_holds_no_text(door: FrontDoor) -> None:
    key = door.key(tenant="narrow")
    ids = [door.submit(key=key).get_json()["id"] for _ in range(3)]
    finish(door, ids[0], said="secret text")
    response = door.get("/v1/jobs?status=succeeded&task=generate&model=echo@1", key=key)
    assert [job.id for job in read(response, JobList).data] == [ids[0]]
    assert "secret text" not in response.text
    assert read(door.get("/v1/jobs?status=queued&model=echo", key=key), JobList).data != []
    assert read(door.get("/v1/jobs?model=echo@2", key=key), JobList).data == []


def test_a_poll_that_waits_answers_when_the_job_ends_even_without_a_hint(door: FrontDoor) -> None:
    id = door.accepted().id
    with ThreadPoolExecutor(2) as pool:
        polls = [pool.submit(get, door, id, "?wait=30") for _ in range(2)]
        eventually(lambda: door.services.notifier._count == 2, within_s=5)
        finish(door, id)  # nobody rings: the batched look finds it
        answers = [poll.result(timeout=10) for poll in polls]
    assert [job.status for job in answers] == [State.SUCCEEDED] * 2
    assert door.services.notifier._count == 0


def test_a_poll_whose_time_is_over_answers_with_the_job_as_it_is(door: FrontDoor) -> None:
    id = door.accepted().id
    assert get(door, id, "?wait=0.05").status == State.QUEUED
    assert door.services.notifier._count == 0


@pytest.mark.parametrize(
    "prefer",
    ["", "wait", "wait=", "wait=soon", "wait=-1", "wait=0", "respond-async", "wait=1.5", "=", ","],
)
def test_a_preference_that_means_nothing_is_ignored(prefer: str, door: FrontDoor) -> None:
    assert door.submit(headers={"Prefer": prefer}).status_code == 202


def test_a_preferred_wait_that_runs_out_is_202(door: FrontDoor) -> None:
    response = door.submit(headers={"Prefer": "respond-async, wait=1"})
    assert response.status_code == 202
    assert read(response, JobAnswer).status == State.QUEUED


def test_models_queues_and_health_look_as_documented(door: FrontDoor) -> None:
    [model] = read(door.get("/v1/models"), ModelList).data
    assert (model.id, model.aliases, model.engine) == ("echo@1", ["parrot"], "echo")
    assert set(model.tasks) == {"generate", "chat", "embed"}
    door.accepted()
    [queue] = read(door.get("/v1/queues"), QueueList).data
    assert queue.model == "echo@1"
    assert queue.queued > 0
    assert read(door.client.get("/health/live"), LiveAnswer).status == "ok"
    ready = read(door.client.get("/health/ready"), ReadyAnswer)
    assert ready.checks["database"] == ready.checks["redis"] == "ok"


def test_a_document_of_the_api_is_served_and_is_json(door: FrontDoor) -> None:
    document: dict[str, Any] = json.loads(door.get("/openapi/openapi.json").text)
    assert "/v1/jobs" in document["paths"]
