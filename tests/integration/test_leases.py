"""Leases and the reaper: what becomes of a worker's jobs when it is gone."""

from uuid import UUID

import pytest
from sqlalchemy import Engine

from dispatcher.cluster_manager import ClusterManager
from dispatcher.forgetting import keep_house
from dispatcher.reaper import reap
from jobs import job_views, leases
from jobs.envelopes import Idempotency
from jobs.ids import new_id
from jobs.states import State
from jobs.task_manager import MAX_CRASHES, TaskManager
from tests.conditions import eventually
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_tenant,
    a_worker,
    claimed,
    history,
    row,
    rows,
    state_of,
    success,
    value,
    worker_died,
)


@pytest.fixture
def manager(engine: Engine) -> TaskManager:
    return TaskManager(engine)


@pytest.fixture
def tenant(engine: Engine) -> UUID:
    return a_tenant(engine)


def renew(engine: Engine, worker_id: UUID, *, lease_s: float = 60, state: str = "ready") -> bool:
    return leases.renew(engine, worker_id, state=state, slots=8, stale_writes=3, lease_s=lease_s)


def expire(engine: Engine, worker_id: UUID) -> None:
    sql = "UPDATE workers SET lease_until = clock_timestamp() - interval '1 s' WHERE id = :id"
    rows(engine, f"{sql} RETURNING 1", id=worker_id)


def test_a_lease_is_renewed_by_the_clock_of_postgres(engine: Engine) -> None:
    worker_id = a_worker(engine, lease_s=5)
    sql = """SELECT extract(epoch FROM lease_until - clock_timestamp()), state, slots, stale_writes
             FROM workers WHERE id = :id"""
    assert renew(engine, worker_id, lease_s=40)
    left, state, slots, stale_writes = rows(engine, sql, id=worker_id)[0]
    assert 39 < left <= 40
    assert (state, slots, stale_writes) == ("ready", 8, 3)


def test_a_lease_that_ran_out_by_itself_cannot_be_renewed(engine: Engine) -> None:
    worker_id = a_worker(engine, lease_s=0.05)
    eventually(lambda: not leases.live_workers(engine), within_s=5)
    assert not renew(engine, worker_id)


def test_a_lease_that_was_ended_cannot_be_renewed(engine: Engine) -> None:
    worker_id = a_worker(engine)
    assert leases.end(engine, worker_id)
    assert not leases.end(engine, worker_id)
    assert not renew(engine, worker_id)


def test_the_parent_ends_the_leases_of_a_dead_process_and_no_other(engine: Engine) -> None:
    process_id = new_id()
    dead = {a_worker(engine, process_id=process_id) for _ in range(2)}
    alive = a_worker(engine)
    assert set(leases.end_process(engine, process_id)) == dead
    assert [live.id for live in leases.live_workers(engine)] == [alive]


def test_jobs_of_a_live_worker_are_left_alone(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    _, [job] = claimed(manager, engine, tenant)
    assert reap(engine, manager) == 0
    assert state_of(engine, job.id) is State.RUNNING


@pytest.mark.parametrize(("how", "charged"), [("died", 1), ("left", 0), ("overdue", 0)])
def test_a_lost_job_waits_again_and_only_a_death_is_charged(
    how: str, charged: int, manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    if how == "died":
        worker_died(engine, worker_id)
    elif how == "left":
        leases.end(engine, worker_id)
    else:
        expire(engine, worker_id)
    assert reap(engine, manager) == 1
    assert reap(engine, manager) == 0
    found = row(engine, job.id)
    assert (found.state, found.crashes, found.worker_id) == ("queued", charged, None)
    assert history(engine, job.id) == ["queued", "running", "queued"]
    ended = value(engine, "SELECT ended_at FROM workers WHERE id = :id", id=worker_id)
    assert ended is not None


def test_a_job_whose_workers_keep_dying_fails_with_a_reason(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    for lost in range(1, MAX_CRASHES + 1):
        worker_died(engine, worker_id)
        assert list(manager.reclaim()) == [job.id]
        assert row(engine, job.id).crashes == lost
        if lost < MAX_CRASHES:
            worker_id = a_worker(engine)
            [again] = manager.claim(worker_id, MODEL, VERSION, 1)
            assert again.attempt == lost + 1
    view = job_views.get(engine, tenant, job.id)
    assert view is not None
    assert (view.state, view.error_code) == ("failed", "poisonous")
    assert view.finished_at is not None
    assert history(engine, job.id)[-1] == "failed"
    assert manager.claim(a_worker(engine), MODEL, VERSION, 1) == []


def test_a_result_that_arrives_before_the_reaper_counts(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    expire(engine, worker_id)
    assert manager.finish(worker_id, [success(job)]) == {job.id: State.SUCCEEDED}
    assert reap(engine, manager) == 0
    assert history(engine, job.id) == ["queued", "running", "succeeded"]


def test_only_ready_workers_count_as_capacity(engine: Engine) -> None:
    ready, draining, overdue = (a_worker(engine) for _ in range(3))
    a_worker(engine)  # still loading
    renew(engine, ready)
    renew(engine, draining, state="draining")
    renew(engine, overdue)
    expire(engine, overdue)
    [capacity] = ClusterManager(engine).capacities()
    assert (capacity.model, capacity.version, capacity.slots) == (MODEL, VERSION, 8)


def test_the_housekeeper_forgets_old_keys_and_workers_and_keeps_the_rest(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    for word in ("old", "young"):
        manager.submit(a_job(tenant), Idempotency(word, b"hash"))
    age = "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"
    rows(engine, f"{age} WHERE key = 'old' RETURNING 1")
    gone, recent, alive = (a_worker(engine) for _ in range(3))
    for ended in (gone, recent):
        leases.end(engine, ended)
    age = "UPDATE workers SET ended_at = ended_at - interval '8 days' WHERE id = :id RETURNING 1"
    rows(engine, age, id=gone)
    assert keep_house(engine) == 2
    assert keep_house(engine) == 0
    assert value(engine, "SELECT array_agg(key) FROM idempotency_keys") == ["young"]
    kept = {found.id for found in rows(engine, "SELECT id FROM workers")}
    assert kept == {recent, alive}
    assert value(engine, "SELECT count(*) FROM jobs") == 2
