"""The dispatcher's loops, without a hint and without a bell."""

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from dispatcher.__main__ import work
from jobs import leases
from jobs.settings import Settings
from jobs.states import State
from jobs.task_manager import TaskManager
from tests.conditions import eventually
from tests.integration.job_samples import (
    a_worker,
    claimed,
    history,
    row,
    state_of,
    submitted,
    worker_died,
)


@pytest.fixture
def dispatcher(settings: Settings) -> Iterator[None]:
    """Its loops, in a thread of this process."""
    stopping = threading.Event()
    thread = threading.Thread(target=work, args=(settings, stopping), daemon=True)
    thread.start()
    yield
    stopping.set()
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_a_job_whose_hint_was_lost_is_released(
    dispatcher: None, manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    leases.renew(engine, a_worker(engine), state="ready", slots=8, stale_writes=0, lease_s=60)
    for _ in range(2):  # the second one after a tick that found nothing
        [id] = submitted(manager, tenant_id)
        eventually(lambda id=id: row(engine, id).released_at, within_s=10)  # type: ignore[misc]


def test_a_job_whose_worker_is_gone_waits_again(
    dispatcher: None, manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant_id)
    worker_died(engine, worker_id)
    eventually(lambda: state_of(engine, job.id) is State.QUEUED, within_s=10)
    assert history(engine, job.id) == ["queued", "running", "queued"]
