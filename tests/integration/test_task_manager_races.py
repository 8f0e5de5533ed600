"""The Task Manager when several ask at once."""

import hashlib
from collections import Counter
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Engine

from jobs import leases
from jobs.envelopes import Idempotency
from jobs.errors import IdempotencyConflict
from jobs.states import State
from jobs.task_manager import TaskManager
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_tenant,
    a_worker,
    at_once,
    claimed,
    flat,
    history,
    release_all,
    rows,
    state_of,
    submitted,
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


def key(word: str, body: str = "body") -> Idempotency:
    return Idempotency(word, hashlib.sha256(body.encode()).digest())


def test_eight_workers_claim_every_job_exactly_once(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    ids = submitted(manager, tenant, 200)
    release_all(manager)

    def take() -> list[UUID]:
        worker_id, mine = a_worker(engine), []
        while jobs := manager.claim(worker_id, MODEL, VERSION, 7):
            mine += [job.id for job in jobs]
        return mine

    got = flat(at_once(*[take] * 8))
    assert Counter(got) == Counter(ids)
    assert value(engine, "SELECT max(attempt) FROM jobs") == 1
    assert value(engine, "SELECT count(*) FROM job_events WHERE kind = 'running'") == 200


def test_two_dispatchers_at_once_release_no_job_twice(manager: TaskManager, tenant: UUID) -> None:
    ids = submitted(manager, tenant, 120)

    def tick() -> list[UUID]:
        # Some ticks find the other one deciding and release nothing.
        return flat([manager.release(MODEL, VERSION, target=40 + n).ids for n in range(40)])

    got = flat(at_once(tick, tick))
    assert max(Counter(got).values()) == 1
    assert set(got) <= set(ids)
    assert 40 <= len(got) <= 120


def test_one_idempotency_key_makes_one_job_under_eight_threads(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    for number in range(10):
        acts = [partial(manager.submit, a_job(tenant), key(f"k{number}")) for _ in range(8)]
        answers = at_once(*acts)
        assert len({answer.id for answer in answers}) == 1
        assert sum(answer.submitted_at is not None for answer in answers) == 1
    assert value(engine, "SELECT count(*) FROM jobs") == 10


def test_a_key_with_another_body_is_refused_and_adds_nothing(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    manager.submit(a_job(tenant), key("k", "one"))
    with pytest.raises(IdempotencyConflict) as caught:
        manager.submit(a_job(tenant), key("k", "two"))
    assert caught.value.param == "Idempotency-Key"
    assert value(engine, "SELECT count(*) FROM jobs") == 1


def test_keys_belong_to_a_tenant(manager: TaskManager, engine: Engine, tenant: UUID) -> None:
    other = a_tenant(engine, "other")
    mine = manager.submit(a_job(tenant), key("k", "one"))
    theirs = manager.submit(a_job(other), key("k", "two"))
    assert mine.id != theirs.id
    assert theirs.submitted_at is not None


def test_a_waiting_job_is_cancelled_at_once(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    [id] = submitted(manager, tenant)
    assert manager.cancel(tenant, id) == "cancelled"
    assert manager.cancel(tenant, id) is None
    assert history(engine, id) == ["queued", "cancelled"]
    assert release_all(manager) == []


def test_a_released_job_that_was_cancelled_is_not_claimed(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    [id] = submitted(manager, tenant)
    release_all(manager)
    assert manager.cancel(tenant, id) == "cancelled"
    assert manager.claim(a_worker(engine), MODEL, VERSION, 1) == []


def test_a_success_whose_cancel_was_asked_for_is_cancelled_with_its_text(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    assert manager.cancel(tenant, job.id) == "cancel_requested"
    assert manager.cancel(tenant, job.id) is None
    assert manager.finish(worker_id, [success(job, "all of it")]) == {job.id: State.CANCELLED}
    found = rows(engine, "SELECT text FROM job_results WHERE job_id = :id", id=job.id)
    assert [result.text for result in found] == ["all of it"]
    reason = value(engine, "SELECT finish_reason FROM jobs WHERE id = :id", id=job.id)
    assert reason == "cancelled"
    assert history(engine, job.id) == ["queued", "running", "cancel_requested", "cancelled"]
    why = "SELECT reason FROM job_events WHERE job_id = :id AND kind = 'cancelled'"
    assert value(engine, why, id=job.id) == "client"


def test_the_cancel_of_a_finished_job_changes_nothing(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    manager.finish(worker_id, [success(job)])
    before = history(engine, job.id)
    assert manager.cancel(tenant, job.id) is None
    assert state_of(engine, job.id) is State.SUCCEEDED
    assert history(engine, job.id) == before
    assert not value(engine, "SELECT cancel_requested FROM jobs WHERE id = :id", id=job.id)


@pytest.mark.parametrize("end", ["give_back", "reclaim"])
def test_a_cancelled_job_that_loses_its_worker_is_cancelled_and_does_not_run_again(
    end: str, manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    manager.cancel(tenant, job.id)
    if end == "give_back":
        assert manager.give_back(worker_id, [job.id]) == [job.id]
    else:
        leases.end(engine, worker_id)
        assert manager.reclaim() == {job.id: State.CANCELLED}
    assert state_of(engine, job.id) is State.CANCELLED
    assert history(engine, job.id)[-1] == "cancelled"


def test_finish_against_reclaim_ends_each_job_once(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    for _ in range(30):
        worker_id, [job] = claimed(manager, engine, tenant)
        leases.end(engine, worker_id)
        done, back = at_once(partial(manager.finish, worker_id, [success(job)]), manager.reclaim)
        assert len({**done, **back}) == 1
        assert not (job.id in done and job.id in back)
        expected = State.SUCCEEDED if job.id in done else State.QUEUED
        assert state_of(engine, job.id) is expected
        assert history(engine, job.id)[-1] == expected.value
        manager.cancel(tenant, job.id)


def test_two_reapers_charge_a_lost_job_once(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant, 50)
    worker_died(engine, worker_id)
    both = at_once(manager.reclaim, manager.reclaim)
    assert sum(len(back) for back in both) == 50
    assert (
        value(engine, "SELECT count(*) FROM job_events WHERE reason = 'worker_died_with_others'")
        == 50
    )
    assert history(engine, jobs[0].id) == ["queued", "running", "queued"]
