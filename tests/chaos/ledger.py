"""What Postgres and Redis hold after a run, as plain rows: the inside view."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from redis import Redis
from sqlalchemy import Engine, text

from jobs import usage
from jobs.database import run
from jobs.states import TERMINAL, State
from jobs.usage import Wanted

# What usage counts, by the names it has there.
USED = (*sorted(state.value for state in TERMINAL), "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs`."""

    id: UUID
    tenant_id: UUID
    state: str
    attempt: int
    crashes: int
    errors: int
    worker_id: UUID | None
    cancel_requested: bool
    completion_tokens: int | None
    finish_reason: str | None
    error_code: str | None
    replay_of: UUID | None
    batch_id: UUID | None = None
    has_webhook: bool = False
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """A row of `job_events`."""

    job_id: UUID
    kind: str
    attempt: int
    worker_id: UUID | None
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """A row of `job_results`."""

    job_id: UUID
    attempt: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A row of `workers`."""

    id: UUID
    process_id: UUID
    pid: int
    started_at: datetime
    lease_until: datetime
    ended_at: datetime | None
    died: bool
    stale_writes: int


@dataclass(frozen=True, slots=True)
class Key:
    """A row of `idempotency_keys`, with its tenant's name."""

    tenant: str
    key: str
    job_id: UUID


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of `batches`."""

    id: UUID
    status: str
    lines: int
    refused: int


@dataclass(frozen=True, slots=True)
class Line:
    """A row of `batch_lines`."""

    batch_id: UUID
    line: int
    custom_id: str | None
    job_id: UUID | None
    refused: bool
    same_as: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of `webhook_deliveries`."""

    id: UUID
    tenant_id: UUID
    lane: UUID
    event_id: UUID
    type: str
    subject: str
    state: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """All of it. `events` are in order; `tenants` are names by id."""

    jobs: dict[UUID, Job] = field(default_factory=dict)
    events: dict[UUID, list[Event]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    workers: dict[UUID, Incarnation] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)
    tenants: dict[UUID, str] = field(default_factory=dict)
    # By tenant: ends by state, and tokens. None: nobody looked.
    usage: dict[UUID, Counter[str]] | None = None
    batches: dict[UUID, Batch] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def states(self, id: UUID) -> list[State]:
        """The states a job went through; wishes and remarks are left out."""
        known = {state.value for state in State}
        return [State(event.kind) for event in self.events.get(id, []) if event.kind in known]

    def stale_writes(self) -> int:
        """How many writes the fence refused. Each process counts on over its incarnations."""
        most: dict[UUID, int] = {}
        for worker in self.workers.values():
            most[worker.process_id] = max(most.get(worker.process_id, 0), worker.stale_writes)
        return sum(most.values())


def _rows(engine: Engine, sql: str) -> list[Any]:
    return list(run(engine, text(sql), {}))


def read_ledger(engine: Engine) -> Ledger:
    """The whole ledger. Read it at rest: it is several statements."""
    events: dict[UUID, list[Event]] = defaultdict(list)
    for row in _rows(engine, "SELECT job_id, kind, attempt, worker_id, reason, at "
                             "FROM job_events ORDER BY job_id, id"):  # fmt: skip
        events[row.job_id].append(Event(*row))
    jobs = _rows(
        engine,
        "SELECT id, tenant_id, state, attempt, crashes, errors, worker_id, cancel_requested, "
        "completion_tokens, finish_reason, error_code, replay_of, batch_id, has_webhook, "
        "prompt_tokens "
        "FROM jobs ORDER BY id",
    )
    results = _rows(engine, "SELECT job_id, attempt, text FROM job_results")
    workers = _rows(engine, "SELECT id, process_id, pid, started_at, lease_until, ended_at, died, "
                            "stale_writes FROM workers ORDER BY started_at")  # fmt: skip
    keys = _rows(engine, "SELECT t.name, k.key, k.job_id FROM idempotency_keys k "
                         "JOIN tenants t ON t.id = k.tenant_id")  # fmt: skip
    tenants = _rows(engine, "SELECT id, name FROM tenants")
    batches = _rows(engine, "SELECT id, status, lines, refused FROM batches")
    lines = _rows(engine, "SELECT batch_id, line, custom_id, job_id, error IS NOT NULL, same_as "
                          "FROM batch_lines ORDER BY batch_id, line")  # fmt: skip
    deliveries = _rows(engine, "SELECT id, tenant_id, lane, event_id, type, subject, state "
                               "FROM webhook_deliveries ORDER BY id")  # fmt: skip
    return Ledger(
        jobs={row.id: Job(*row) for row in jobs},
        events=dict(events),
        results=[Result(*row) for row in results],
        workers={row.id: Incarnation(*row) for row in workers},
        keys=[Key(*row) for row in keys],
        tenants={row.id: row.name for row in tenants},
        usage=_usage(engine),
        batches={row.id: Batch(*row) for row in batches},
        lines=[Line(*row) for row in lines],
        deliveries=[Delivery(*row) for row in deliveries],
    )


def _usage(engine: Engine) -> dict[UUID, Counter[str]]:
    wanted = Wanted(date(2020, 1, 1), date(9999, 1, 1), by_day=False, by_model=False)
    lines = usage.of_all(engine, wanted)
    return {
        line.tenant_id: Counter({name: getattr(line, name) for name in USED})
        for line in lines
        if line.tenant_id is not None
    }


def unfinished(engine: Engine) -> int:
    """Jobs that wait or run."""
    query = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
    return int(_rows(engine, query)[0][0])


def unannounced(engine: Engine) -> int:
    """Ends that no housekeeper has spread to their receivers yet."""
    return int(_rows(engine, "SELECT count(*) FROM webhook_outbox")[0][0])


def redis_contents(redis: Redis) -> dict[str, str]:
    """Every key and its value as text, whatever its type."""
    found = {}
    for key in redis.scan_iter(count=1_000):
        match redis.type(key):
            case "string":
                value: Any = redis.get(key)
            case "list":
                value = redis.lrange(key, 0, -1)
            case "set":
                value = sorted(redis.smembers(key))
            case "zset":
                value = redis.zrange(key, 0, -1, withscores=True)
            case "hash":
                value = redis.hgetall(key)
            case "stream":
                value = redis.xrange(key)
            case _:
                continue  # it ended between the two looks
        found[str(key)] = json.dumps(value, default=repr)
    return found
