"""A replay is a new job with an old input, within one tenant."""

from uuid import UUID

from sqlalchemy import Engine

from jobs.states import State
from jobs.task_manager import TaskManager
from tests.integration.job_samples import (
    a_tenant,
    claimed,
    row,
    rows,
    state_of,
    submitted,
    success,
    value,
)


def test_a_replay_is_a_new_job_and_the_old_one_stays(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant_id)
    manager.finish(worker_id, [success(job)])
    before = row(engine, job.id)
    id = manager.replay(tenant_id, job.id, "127.0.0.1")
    assert id is not None
    assert row(engine, job.id) == before
    again = row(engine, id)
    assert (again.state, again.attempt, again.replay_of) == (State.QUEUED, 0, job.id)
    inputs = rows(engine, "SELECT input, parameters, labels FROM job_inputs")
    assert len(inputs) == 2
    assert inputs[0] == inputs[1]


def test_nobody_replays_a_job_of_another_tenant(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant_id)
    manager.finish(worker_id, [success(job)])
    assert manager.replay(a_tenant(engine, "other"), job.id, "127.0.0.1") is None
    assert value(engine, "SELECT count(*) FROM jobs") == 1


def test_a_job_that_has_not_ended_is_not_replayed(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    [id] = submitted(manager, tenant_id)
    assert manager.replay(tenant_id, id, "127.0.0.1") is None
    assert state_of(engine, id) is State.QUEUED
