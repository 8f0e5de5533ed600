"""Dead letters are found by what happened to them, and replayed by the same filters."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.explain_schemas import ReplayAnswer
from api.schemas import JobList
from jobs import replays
from jobs.job_views import JobFilter
from jobs.keys import Scope
from tests.conditions import eventually
from tests.integration.front_door import FrontDoor, front_door, read, refusal
from tests.integration.job_samples import a_worker, failure, release_all, row, rows, value


@pytest.fixture
def door(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[FrontDoor]:
    with front_door(tmp_path, database_url=database_url, redis_url=redis_url) as opened:
        yield opened


def failed(door: FrontDoor, count: int) -> tuple[UUID, list[str]]:
    """Jobs that failed on a worker of their own."""
    ids = [door.accepted().id for _ in range(count)]
    release_all(door.manager)
    worker_id = a_worker(door.engine)
    jobs = door.manager.claim(worker_id, "echo", 1, count)
    door.manager.finish(worker_id, [failure(job) for job in jobs])
    return worker_id, ids


def listed(door: FrontDoor, **query: Any) -> set[str]:
    answer = door.get("/v1/jobs", query_string=query | {"status": "failed"})
    return {job.id for job in read(answer, JobList).data}


def replay(door: FrontDoor, **body: Any) -> ReplayAnswer:
    return read(door.send("POST", "/v1/jobs/replay", json=body), ReplayAnswer)


def test_jobs_are_found_by_worker_and_by_when_they_ended(door: FrontDoor) -> None:
    worker_id, first = failed(door, 2)
    between = datetime.now(UTC)
    _, second = failed(door, 1)
    assert listed(door) == {*first, *second}
    assert listed(door, worker=str(worker_id)) == set(first)
    assert listed(door, ended_since=between.isoformat()) == set(second)
    assert listed(door, ended_until=between.isoformat()) == set(first)
    assert listed(door, error_code="poisonous") == set()
    assert refusal(door.get("/v1/jobs?worker=7"))[0] == 422


def test_a_replay_by_filter_makes_new_jobs_once(door: FrontDoor) -> None:
    worker_id, ids = failed(door, 3)
    failed(door, 1)
    dry = replay(door, worker=str(worker_id), dry_run=True)
    assert {pair.id for pair in dry.data} == set(ids)
    assert {pair.new_id for pair in dry.data} == {None}
    assert door.jobs() == 4
    done = replay(door, worker=str(worker_id))
    assert {pair.id for pair in done.data} == set(ids)
    for pair in done.data:
        old, new = (row(door.engine, UUID(id or "")) for id in (pair.id, pair.new_id))
        assert (new.state, str(new.replay_of)) == ("queued", pair.id)
        assert (new.prompt_tokens, new.tenant_id) == (old.prompt_tokens, old.tenant_id)
        assert old.state == "failed"
    inputs = 'SELECT count(*) FROM job_inputs WHERE input = \'{"prompt": "hello"}\''
    assert value(door.engine, inputs) == 7
    assert replay(door, worker=str(worker_id)).data == []
    assert door.jobs() == 7


def test_a_replay_waits_for_another_one_and_then_finds_nothing_left(door: FrontDoor) -> None:
    _, ids = failed(door, 3)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    wanted = JobFilter(error_code="engine_failed", limit=1_000)
    with ThreadPoolExecutor(1) as pool:
        with door.engine.begin() as connection:
            first = replays.replay(connection, door.tenant_id, wanted, "", dry=False)
            second = pool.submit(replay, door, error_code="engine_failed")
            eventually(lambda: value(door.engine, waiting) == 1, what="the second one waits")
        assert second.result(timeout=30).data == []
    assert sorted(str(pair.old_id) for pair in first) == sorted(ids)
    assert door.jobs() == 6


def test_a_long_replay_goes_on_where_it_stopped(door: FrontDoor) -> None:
    _, ids = failed(door, 5)
    seen: list[str] = []
    more = True
    while more:
        done = replay(door, status="failed", limit=2)
        seen += [pair.id for pair in done.data]
        more = done.more
    assert seen == sorted(ids)  # oldest first


def test_a_replay_stays_within_its_tenant_and_names_its_filter(door: FrontDoor) -> None:
    failed(door, 2)
    other = door.key(Scope.JOBS, tenant="other")
    answer = door.send("POST", "/v1/jobs/replay", key=other, json={"status": "failed"})
    assert read(answer, ReplayAnswer).data == []
    assert refusal(door.send("POST", "/v1/jobs/replay", json={}))[:2] == (400, "invalid_request")
    assert refusal(door.send("POST", "/v1/jobs/replay", json={"dry_run": True}))[0] == 400
    waiting = door.accepted()
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert waiting.id not in {p.id for p in replay(door, ended_since=since, dry_run=True).data}
    assert len(rows(door.engine, "SELECT 1 FROM jobs")) == 3
