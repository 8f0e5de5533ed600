"""Jobs, workers and histories that tests of the Task Manager speak of."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Engine, text

from jobs import leases, tenants
from jobs.database import Rows, run
from jobs.envelopes import ClaimedJob, NewJob, Outcome
from jobs.ids import new_id
from jobs.leases import Incarnation
from jobs.states import Priority, State
from jobs.task_manager import TaskManager

T = TypeVar("T")

MODEL, VERSION = "echo", 1


def a_tenant(engine: Engine, name: str = "tenant") -> UUID:
    return tenants.ensure(engine, name)


def a_job(
    tenant_id: UUID,
    *,
    priority: Priority = Priority.NORMAL,
    model: str = MODEL,
    prompt: str = "hello",
) -> NewJob:
    return NewJob(
        id=new_id(),
        tenant_id=tenant_id,
        task="generate",
        model=model,
        version=VERSION,
        priority=priority,
        client_address="127.0.0.1",
        input={"prompt": prompt},
        parameters={"max_tokens": 8},
        labels={"made": "here"},
        prompt_tokens=len(prompt),
        max_tokens=8,
    )


def submitted(manager: TaskManager, tenant_id: UUID, count: int = 1, **more: Any) -> list[UUID]:
    """That many waiting jobs, in the order of their submit."""
    return [manager.submit(a_job(tenant_id, **more)).id for _ in range(count)]


def a_worker(engine: Engine, *, lease_s: float = 60, process_id: UUID | None = None) -> UUID:
    """A worker with a live lease."""
    who = Incarnation(new_id(), process_id or new_id(), MODEL, VERSION, "cpu", "here", 1, 8)
    leases.open_lease(engine, who, lease_s)
    return who.id


def worker_died(engine: Engine, worker_id: UUID) -> None:
    """Its parent saw the process of that worker die."""
    process_id = value(engine, "SELECT process_id FROM workers WHERE id = :id", id=worker_id)
    leases.end_process(engine, process_id)


def release_all(manager: TaskManager, *, model: str = MODEL) -> list[UUID]:
    return manager.release(model, VERSION, target=10_000, least=10_000).ids


def claimed(
    manager: TaskManager, engine: Engine, tenant_id: UUID, count: int = 1
) -> tuple[UUID, list[ClaimedJob]]:
    """A worker with that many running jobs."""
    submitted(manager, tenant_id, count)
    release_all(manager)
    worker_id = a_worker(engine)
    jobs = manager.claim(worker_id, MODEL, VERSION, count)
    assert len(jobs) == count
    return worker_id, jobs


def success(job: ClaimedJob, said: str = "hello") -> Outcome:
    return Outcome(
        id=job.id,
        attempt=job.attempt,
        state=State.SUCCEEDED,
        finish_reason="stop",
        text=said,
        completion_tokens=len(said),
        first_token_age_s=0.01,
    )


def failure(job: ClaimedJob, *, retryable: bool = False) -> Outcome:
    return Outcome(
        id=job.id,
        attempt=job.attempt,
        state=State.FAILED,
        error_code="engine_failed",
        error_message="it broke",
        retryable=retryable,
    )


def rows(engine: Engine, sql: str, **values: object) -> Rows:
    return run(engine, text(sql), values)


def value(engine: Engine, sql: str, **values: object) -> Any:
    """The one value that a query gives."""
    return rows(engine, sql, **values)[0][0]


def row(engine: Engine, job_id: UUID) -> Any:
    """A job's row as it stands."""
    return rows(engine, "SELECT * FROM jobs WHERE id = :id", id=job_id)[0]


def empty(engine: Engine) -> None:
    """Takes out jobs, workers and what was learned of them; tenants, keys and models stay."""
    for table in ("job_events", "job_results", "job_inputs", "idempotency_keys", "jobs", "workers",
                  "components", "paused_models", "model_clocks", "fair_shares", "settlements",
                  "predictions", "estimate_errors", "counters", "usage_days", "token_times",
                  "webhook_outbox", "webhook_deliveries", "webhook_endpoints",
                  "webhook_signing_secrets"):  # fmt: skip
        rows(engine, f"WITH gone AS (DELETE FROM {table}) SELECT 1")


def state_of(engine: Engine, job_id: UUID) -> State:
    return State(row(engine, job_id).state)


def history(engine: Engine, job_id: UUID) -> list[str]:
    """What happened to a job, in order."""
    sql = "SELECT kind FROM job_events WHERE job_id = :id ORDER BY id"
    return [found.kind for found in rows(engine, sql, id=job_id)]


def results(engine: Engine, job_id: UUID) -> int:
    return int(value(engine, "SELECT count(*) FROM job_results WHERE job_id = :id", id=job_id))


def at_once(*acts: Any) -> list[Any]:
    """Runs all in threads that set off together; returns what they gave."""
    gate = Barrier(len(acts))

    def go(act: Any) -> Any:
        gate.wait(timeout=30)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(go, act) for act in acts]]


def flat(lists: Sequence[Sequence[T]]) -> list[T]:
    return [item for inner in lists for item in inner]
