"""run_at, expires_after, deadline and bounded retries, on real Postgres."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs.envelopes import Times
from jobs.states import Priority, State
from jobs.task_manager import TaskManager
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_worker,
    claimed,
    failure,
    history,
    release_all,
    results,
    row,
    rows,
    state_of,
    submitted,
    success,
    value,
)


def ahead(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def with_times(manager: TaskManager, tenant_id: UUID, **times: Any) -> UUID:
    job = replace(a_job(tenant_id), times=Times(**times))
    return manager.submit(job).id


def set_back(engine: Engine, id: UUID, column: str) -> None:
    """As if the job's time had come."""
    rows(
        engine,
        f"UPDATE jobs SET {column} = now() - interval '1 s', "
        "rank = least(rank, now() + interval '29 s') WHERE id = :id RETURNING 1",
        id=id,
    )


def test_a_job_for_later_is_released_when_its_time_has_come(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    id = with_times(manager, tenant_id, run_at=ahead(300))
    assert release_all(manager) == []
    set_back(engine, id, "run_at")
    assert release_all(manager) == [id]


def test_a_job_for_later_has_its_rank_from_then_on(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    late = row(engine, with_times(manager, tenant_id, run_at=ahead(1000)))
    assert timedelta(seconds=1020) < late.rank - late.submitted_at < timedelta(seconds=1040)


def test_a_near_deadline_goes_before_older_jobs(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    submitted(manager, tenant_id, 2, priority=Priority.BATCH)
    urgent = with_times(manager, tenant_id, deadline=ahead(20), estimate_s=10.0)
    assert manager.release(MODEL, VERSION, target=1).ids == [urgent]


def test_a_job_that_waited_too_long_expires_and_never_touches_an_engine(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    waiting = with_times(manager, tenant_id, expires_after_s=60.0)
    released = with_times(manager, tenant_id, expires_after_s=60.0)
    assert manager.expire() == []
    release_all(manager)
    for id in (waiting, released):
        set_back(engine, id, "expires_at")
    assert manager.claim(a_worker(engine), MODEL, VERSION, 8) == []
    assert sorted(manager.expire()) == sorted((waiting, released))
    assert row(engine, waiting).error_code == "expired_in_queue"
    assert history(engine, waiting) == ["queued", "expired"]
    assert manager.expire() == []


def test_a_passed_deadline_expires_a_waiting_job_and_says_so(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    id = with_times(manager, tenant_id, deadline=ahead(60))
    set_back(engine, id, "deadline")
    set_back(engine, id, "expires_at")
    assert manager.expire() == [id]
    assert row(engine, id).error_code == "deadline_exceeded"


def test_a_running_job_outlives_its_waiting_bound_but_not_its_deadline(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    id = with_times(manager, tenant_id, expires_after_s=60.0, deadline=ahead(600))
    release_all(manager)
    worker_id = a_worker(engine)
    assert [job.id for job in manager.claim(worker_id, MODEL, VERSION, 1)] == [id]
    set_back(engine, id, "expires_at")
    assert manager.expire() == []
    assert not manager.held(worker_id)[id].overdue
    set_back(engine, id, "deadline")
    assert manager.held(worker_id)[id].overdue


def test_a_retryable_error_is_tried_again_after_a_pause_until_attempts_are_used_up(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    worker_id, (job,) = claimed(manager, engine, tenant_id)
    pauses = []
    for attempt in (1, 2, 3):
        assert job.attempt == attempt
        state = manager.finish(worker_id, [failure(job, retryable=True)])[job.id]
        if attempt == 3:
            break
        assert state is State.QUEUED
        assert results(engine, job.id) == 0
        pauses.append(value(engine, "SELECT extract(epoch FROM run_at - clock_timestamp()) "
                                    "FROM jobs WHERE id = :id", id=job.id))  # fmt: skip
        assert release_all(manager) == []
        set_back(engine, job.id, "run_at")
        assert release_all(manager) == [job.id]
        (job,) = manager.claim(worker_id, MODEL, VERSION, 1)
    assert 0 < pauses[0] <= 1.5
    assert 0.9 < pauses[1] <= 3
    ended = row(engine, job.id)
    assert (ended.state, ended.error_code, ended.errors) == ("failed", "engine_failed", 3)
    assert results(engine, job.id) == 1


def test_an_error_that_will_not_pass_is_not_tried_again(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    worker_id, (job,) = claimed(manager, engine, tenant_id)
    assert manager.finish(worker_id, [failure(job)]) == {job.id: State.FAILED}


def test_a_cancelled_job_is_not_tried_again(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    worker_id, (job,) = claimed(manager, engine, tenant_id)
    manager.cancel(tenant_id, job.id)
    assert manager.finish(worker_id, [failure(job, retryable=True)]) == {job.id: State.CANCELLED}
    assert row(engine, job.id).finish_reason == "cancelled"


def test_attempts_are_rows_with_their_worker_times_and_error(
    manager: TaskManager, tenant_id: UUID, engine: Engine
) -> None:
    worker_id, (job,) = claimed(manager, engine, tenant_id)
    manager.finish(worker_id, [failure(job, retryable=True)])
    set_back(engine, job.id, "run_at")
    release_all(manager)
    (again,) = manager.claim(worker_id, MODEL, VERSION, 1)
    manager.finish(worker_id, [success(again)])
    told = rows(engine, "SELECT * FROM job_attempts WHERE job_id = :id ORDER BY attempt", id=job.id)
    assert [(a.attempt, a.worker_id, a.outcome, a.reason) for a in told] == [
        (1, worker_id, "queued", "engine_failed"),
        (2, worker_id, "succeeded", None),
    ]
    assert all(a.started_at <= a.ended_at for a in told)
    assert state_of(engine, job.id) is State.SUCCEEDED
