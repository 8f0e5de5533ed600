"""The culprit of a crash is found in halves; its neighbours are acquitted."""

from uuid import UUID

from sqlalchemy import Engine

from jobs import leases
from jobs.envelopes import ClaimedJob
from jobs.states import State
from jobs.task_manager import MAX_CRASHES, MOST_ATTEMPTS, TaskManager
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_worker,
    claimed,
    release_all,
    row,
    rows,
    state_of,
    submitted,
    success,
    worker_died,
)


def die(manager: TaskManager, engine: Engine, worker_id: UUID) -> dict[UUID, State]:
    worker_died(engine, worker_id)
    return manager.reclaim()


def take(manager: TaskManager, worker_id: UUID, free: int = 100) -> list[ClaimedJob]:
    return manager.claim(worker_id, MODEL, VERSION, free)


def crashes(engine: Engine) -> int:
    return sum(job.crashes for job in rows(engine, "SELECT crashes FROM jobs"))


def test_of_eight_in_a_batch_one_kills_its_worker_and_seven_succeed(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant_id, 8)
    poison = jobs[5].id
    deaths = 0
    while state_of(engine, poison) is State.RUNNING:
        die(manager, engine, worker_id)
        deaths += 1
        held: list[ClaimedJob] = []
        while poison not in {job.id for job in held}:
            worker_id = a_worker(engine)
            held = take(manager, worker_id)
            if not held:
                break
            if poison not in {job.id for job in held}:
                manager.finish(worker_id, [success(job) for job in held])
    states = [state_of(engine, job.id) for job in jobs]
    assert states.count(State.SUCCEEDED) == 7
    assert row(engine, poison).error_code == "poisonous"
    assert deaths == 3 + MAX_CRASHES  # 8, 4, 2, then alone until it is charged enough
    assert crashes(engine) == MAX_CRASHES


def test_neighbours_of_a_crash_are_not_charged(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant_id, 5)
    assert set(die(manager, engine, worker_id).values()) == {State.QUEUED}
    assert crashes(engine) == 0
    groups = [row(engine, job.id).suspect_group for job in jobs]
    assert len(set(groups)) == 2
    assert sorted(groups.count(group) for group in set(groups)) == [2, 3]


def test_suspects_run_among_themselves_only(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant_id, 4)
    die(manager, engine, worker_id)
    submitted(manager, tenant_id, 3)
    release_all(manager)
    isolated = a_worker(engine)
    first = take(manager, isolated)
    assert len(first) == 2
    assert {job.id for job in first} <= {job.id for job in jobs}
    assert take(manager, isolated) == []
    manager.finish(isolated, [success(first[0])])
    assert take(manager, isolated) == []  # one suspect is still running here
    manager.finish(isolated, [success(first[1])])
    second = take(manager, isolated)
    assert {job.id for job in (*first, *second)} == {job.id for job in jobs}
    manager.finish(isolated, [success(job) for job in second])
    assert len(take(manager, isolated)) == 3


def test_a_busy_worker_takes_nothing_that_came_after_waiting_suspects(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, _ = claimed(manager, engine, tenant_id, 2)
    submitted(manager, tenant_id, 1)
    release_all(manager)
    busy = a_worker(engine)
    (own,) = take(manager, busy)
    die(manager, engine, worker_id)
    submitted(manager, tenant_id, 2)
    release_all(manager)
    assert take(manager, busy) == []
    manager.finish(busy, [success(own)])
    assert len(take(manager, busy)) == 1  # idle now: a half of the suspects


def test_a_job_given_back_by_a_drain_is_no_suspect(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant_id, 3)
    manager.give_back(worker_id, [job.id for job in jobs])
    die(manager, engine, worker_id)
    assert crashes(engine) == 0
    assert all(row(engine, job.id).suspect_group is None for job in jobs)
    assert len(take(manager, a_worker(engine))) == 3


def test_a_lease_that_only_ran_out_charges_nobody_and_makes_no_suspects(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, (job,) = claimed(manager, engine, tenant_id)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        leases.end(engine, worker_id)
        assert row(engine, job.id).crashes == 0
        state = manager.reclaim()[job.id]
        assert state is (State.QUEUED if attempt < MOST_ATTEMPTS else State.FAILED)
        if state is State.QUEUED:
            assert row(engine, job.id).suspect_group is None
            worker_id = a_worker(engine)
            take(manager, worker_id)


def test_the_events_of_a_dead_letter_are_its_evidence(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, (job,) = claimed(manager, engine, tenant_id)
    workers = [worker_id]
    for _ in range(MAX_CRASHES - 1):
        die(manager, engine, workers[-1])
        workers.append(a_worker(engine))
        take(manager, workers[-1])
    assert die(manager, engine, workers[-1]) == {job.id: State.FAILED}
    told = rows(engine, "SELECT * FROM job_attempts WHERE job_id = :id ORDER BY attempt", id=job.id)
    assert [attempt.worker_id for attempt in told] == workers
    assert {attempt.reason for attempt in told} == {"worker_died_alone"}
