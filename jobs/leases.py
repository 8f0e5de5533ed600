"""Leases: one row for each incarnation of a worker, renewed by one UPDATE.

All jobs of a worker live and die with its lease. Times are Postgres' own.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run

_OPEN = text("""
INSERT INTO workers (id, process_id, model, version, state, device, host, pid, slots, lease_until)
VALUES (:id, :process_id, :model, :version, 'loading', :device, :host, :pid, :slots,
        clock_timestamp() + make_interval(secs => :lease_s))
ON CONFLICT (id) DO NOTHING
RETURNING id
""")

# Renewing only a live lease: once it has run out, its jobs may be elsewhere.
_RENEW = text("""
UPDATE workers SET heartbeat_at = clock_timestamp(), state = :state, slots = :slots,
  stale_writes = :stale_writes, lease_until = clock_timestamp() + make_interval(secs => :lease_s),
  proven_at = coalesce(proven_at, CASE WHEN :proven THEN clock_timestamp() END)
WHERE id = :id AND ended_at IS NULL AND lease_until > clock_timestamp()
RETURNING id
""")

_END = text("""
UPDATE workers SET ended_at = clock_timestamp(), state = 'ended'
WHERE id = :id AND ended_at IS NULL RETURNING id
""")

_END_PROCESS = text("""
UPDATE workers SET ended_at = clock_timestamp(), state = 'ended', died = :died,
  exit_code = CAST(:exit_code AS int)
WHERE process_id = :process_id AND ended_at IS NULL AND id <> ALL (CAST(:but AS uuid[]))
RETURNING id
""")

# A process that died before it had a lease is a dead worker all the same.
_STILLBORN = text("""
INSERT INTO workers (id, process_id, model, version, state, device, host, pid, slots,
                     lease_until, ended_at, died, exit_code)
SELECT :id, :process_id, :model, :version, 'ended', :device, :host, :pid, 0,
       clock_timestamp(), clock_timestamp(), true, :exit_code
WHERE NOT EXISTS (SELECT FROM workers WHERE process_id = :process_id)
RETURNING id
""")

_END_OVERDUE = text("""
UPDATE workers SET ended_at = clock_timestamp(), state = 'ended'
WHERE ended_at IS NULL AND lease_until < clock_timestamp() RETURNING id
""")

_LIVE = text("""
SELECT w.id, w.model, w.version, w.state, w.device, w.host, w.pid, w.slots, w.started_at,
       w.heartbeat_at,
       (SELECT count(*) FROM jobs j WHERE j.worker_id = w.id AND j.state = 'running') AS busy
FROM workers w WHERE w.ended_at IS NULL AND w.lease_until > clock_timestamp()
ORDER BY w.model, w.version, w.started_at
""")


@dataclass(frozen=True, slots=True)
class Worker:
    """A live worker as its lease describes it. `busy` counts the jobs it holds."""

    id: UUID
    model: str
    version: int
    state: str
    device: str
    host: str
    pid: int
    slots: int
    started_at: datetime
    heartbeat_at: datetime
    busy: int


@dataclass(frozen=True, slots=True)
class Incarnation:
    """Who asks for a lease. A process that lost one comes back under a new id."""

    id: UUID
    process_id: UUID
    model: str
    version: int
    device: str
    host: str
    pid: int
    slots: int


def open_lease(engine: Engine, who: Incarnation, lease_s: float) -> None:
    """Registers a worker as loading; its lease runs from now."""
    values = {
        "id": who.id,
        "process_id": who.process_id,
        "model": who.model,
        "version": who.version,
        "device": who.device,
        "host": who.host,
        "pid": who.pid,
        "slots": who.slots,
        "lease_s": lease_s,
    }
    run(engine, _OPEN, values)


def renew(
    engine: Engine,
    worker_id: UUID,
    *,
    state: str,
    slots: int,
    stale_writes: int,
    lease_s: float,
    proven: bool = False,
) -> bool:
    """Prolongs a live lease. False: it is over, and the worker must stop.
    `proven`: it has finished a job since it started."""
    values = {
        "id": worker_id,
        "state": state,
        "slots": slots,
        "stale_writes": stale_writes,
        "lease_s": lease_s,
        "proven": proven,
    }
    return bool(run(engine, _RENEW, values))


def end(engine: Engine, worker_id: UUID) -> bool:
    """Ends a lease at once, by the worker that leaves. The jobs it held are
    reclaimed by `TaskManager.reclaim`."""
    return bool(run(engine, _END, {"id": worker_id}))


def end_process(engine: Engine, process_id: UUID, exit_code: int | None = None) -> list[UUID]:
    """Ends the leases of a dead process, by its parent that saw it die; the
    jobs it held are suspects."""
    values = {"process_id": process_id, "but": [], "died": True, "exit_code": exit_code}
    return [row.id for row in run(engine, _END_PROCESS, values)]


def record_stillborn(engine: Engine, who: Incarnation, exit_code: int) -> bool:
    """Adds a dead worker for a process that never had a lease, so that a model
    that cannot be loaded shows. False if it had one."""
    values = asdict(who) | {"exit_code": exit_code}
    return bool(run(engine, _STILLBORN, values))


def end_earlier(engine: Engine, who: Incarnation) -> list[UUID]:
    """Ends what is left of the same process' earlier leases, which it let go."""
    values = {"process_id": who.process_id, "but": [who.id], "died": False, "exit_code": None}
    return [row.id for row in run(engine, _END_PROCESS, values)]


def end_overdue(engine: Engine) -> list[UUID]:
    """Marks leases that ran out as ended; returns their workers."""
    return [row.id for row in run(engine, _END_OVERDUE, {})]


def live_workers(engine: Engine) -> Sequence[Worker]:
    """All workers with a live lease."""
    return [Worker(*row) for row in run(engine, _LIVE, {})]
