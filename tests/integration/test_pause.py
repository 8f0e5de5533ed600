"""A paused model version: nothing is claimed, and everybody is told."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.operation_schemas import ModelAnswer, ModelList, QueueList
from jobs import leases, pauses
from jobs.keys import Scope
from tests.integration.front_door import FrontDoor, front_door, read, refusal
from tests.integration.job_samples import a_worker, release_all, success, value


@pytest.fixture
def door(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[FrontDoor]:
    with front_door(tmp_path, database_url=database_url, redis_url=redis_url) as opened:
        yield opened


def test_running_jobs_finish_and_no_other_starts_until_resume(door: FrontDoor) -> None:
    first, second = door.accepted(), door.accepted()
    release_all(door.manager)
    worker_id = a_worker(door.engine)
    leases.renew(door.engine, worker_id, state="ready", slots=8, stale_writes=0, lease_s=60)
    [running] = door.manager.claim(worker_id, "echo", 1, 1)
    paused = read(door.send("POST", "/v1/models/parrot/pause", data='{"reason": "heat"}'),
                  ModelAnswer)  # fmt: skip
    assert paused.id == "echo@1"  # the alias was resolved
    assert paused.paused is not None
    assert paused.paused.reason == "heat"
    assert door.manager.claim(worker_id, "echo", 1, 8) == []
    assert door.manager.finish(worker_id, [success(running)])
    assert door.accepted().status == "queued"  # still accepted
    [model] = read(door.get("/v1/models"), ModelList).data
    [queue] = read(door.get("/v1/queues"), QueueList).data
    assert model.paused == paused.paused
    assert (queue.paused, queue.queued) == (True, 2)
    resumed = read(door.send("POST", "/v1/models/echo@1/resume"), ModelAnswer)
    assert resumed.paused is None
    assert {str(job.id) for job in door.manager.claim(worker_id, "echo", 1, 8)} == {second.id}
    assert first.id == str(running.id)


def test_a_second_pause_keeps_its_time_and_a_second_resume_is_harmless(door: FrontDoor) -> None:
    first = read(door.send("POST", "/v1/models/echo/pause"), ModelAnswer)
    again = read(door.send("POST", "/v1/models/echo/pause", data='{"reason": "x"}'), ModelAnswer)
    assert first.paused is not None
    assert again.paused is not None
    assert (again.paused.since, again.paused.reason) == (first.paused.since, "x")
    assert value(door.engine, "SELECT count(*) FROM paused_models") == 1
    for _ in range(2):
        assert read(door.send("POST", "/v1/models/echo/resume"), ModelAnswer).paused is None
    assert pauses.paused(door.engine) == {}


def test_a_reason_is_short(door: FrontDoor) -> None:
    said = door.send("POST", "/v1/models/echo/pause", data=json.dumps({"reason": "x" * 501}))
    assert refusal(said)[:3] == (422, "invalid_request", "reason")
    assert "at most 500 characters" in said.text
    nul = door.send("POST", "/v1/models/echo/pause", data='{"reason": "\\u0000"}')
    assert refusal(nul)[:3] == (422, "invalid_request", "reason")


def test_only_admins_pause_and_only_what_there_is(door: FrontDoor) -> None:
    jobs_only = door.key(Scope.JOBS)
    for act in ("pause", "resume"):
        answer = door.send("POST", f"/v1/models/echo/{act}", key=jobs_only)
        assert refusal(answer)[:2] == (403, "insufficient_scope")
        answer = door.send("POST", f"/v1/models/nobody/{act}")
        assert refusal(answer)[:2] == (404, "model_not_found")
    assert refusal(door.send("POST", "/v1/models/echo/pause", data='{"why": 1}'))[0] == 422
    assert refusal(door.send("POST", "/v1/models/echo/pause", data="{"))[0] == 400
    assert pauses.paused(door.engine) == {}
