"""What a client may see of a job: the read side, always within one tenant."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, TextClause, text

from jobs.choices import Choice, choices
from jobs.database import run
from jobs.states import TERMINAL, State

# Of a job `j` and its input `i`: the first fields of `JobView`.
COLUMNS = """
SELECT j.id, j.tenant_id, j.task, j.model, j.version, j.state, j.priority, j.attempt,
       j.cancel_requested, j.prompt_tokens, j.completion_tokens, j.finish_reason, j.error_code,
       j.submitted_at, j.started_at, j.first_token_at, j.finished_at, j.run_at, j.expires_at,
       j.deadline, j.replay_of, j.batch_id, coalesce(i.labels, jsonb_build_object()) AS labels
"""

_WHOLE = f"""
{COLUMNS}, r.text, r.error_message, r.details, j.erased_at
FROM jobs j LEFT JOIN job_inputs i ON i.job_id = j.id LEFT JOIN job_results r ON r.job_id = j.id
"""
# Polls ask for one. A list of unknown length looks dear to Postgres, which then plans
# each time anew: five times the cost of reading one row (docs/benchmarks.md).
_GET = text(f"{_WHOLE} WHERE j.id = :id")
_GET_MANY = text(f"{_WHOLE} WHERE j.id = ANY(CAST(:ids AS uuid[]))")

# Which jobs a `JobFilter` means; a worker counts if it ever held the job.
MATCHES = """
  (CAST(:state AS text) IS NULL OR state = :state)
    AND (CAST(:task AS text) IS NULL OR task = :task)
    AND (CAST(:model AS text) IS NULL OR model = :model)
    AND (CAST(:version AS int) IS NULL OR version = :version)
    AND (CAST(:error_code AS text) IS NULL OR error_code = :error_code)
    AND (CAST(:ended_since AS timestamptz) IS NULL OR finished_at >= :ended_since)
    AND (CAST(:ended_until AS timestamptz) IS NULL OR finished_at < :ended_until)
    AND (CAST(:batch AS uuid) IS NULL OR batch_id = :batch)
    AND (CAST(:worker AS uuid) IS NULL OR EXISTS (SELECT FROM job_events e
         WHERE e.job_id = jobs.id AND e.worker_id = :worker))
"""


# The page is picked from the narrow table before anything is joined to it.
def _page(of: str) -> TextClause:
    return text(f"""
WITH page AS MATERIALIZED (
  SELECT id FROM jobs WHERE tenant_id = :tenant_id
    AND (CAST(:before AS uuid) IS NULL OR id < :before) AND {MATCHES} AND {of}
  ORDER BY id DESC LIMIT :limit
)
{COLUMNS}, NULL AS text, NULL AS error_message, NULL AS details, j.erased_at
FROM page JOIN jobs j ON j.id = page.id LEFT JOIN job_inputs i ON i.job_id = j.id ORDER BY j.id DESC
""")  # noqa: S608 - only constants are joined


_LIST = _page("true")
# By the index of the batch: its jobs may lie far back among the tenant's.
_LIST_OF_BATCH = _page("batch_id = :batch")

_ATTEMPTS = text("""
SELECT attempt, worker_id, started_at, ended_at, outcome, reason
FROM job_attempts WHERE job_id = :id ORDER BY attempt, started_at
""")

_ASKED = text("SELECT asked FROM job_inputs WHERE job_id = :id")

_FINISHED = text("""
SELECT id FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))
  AND state IN ('succeeded', 'failed', 'cancelled', 'expired')
""")

# Each part has the predicate of a partial index: the ledger is not walked.
_QUEUES = text("""
SELECT model, version, sum(queued)::int AS queued, sum(running)::int AS running FROM (
  SELECT model, version, count(*) AS queued, 0 AS running FROM jobs
  WHERE state = 'queued' AND released_at IS NULL AND NOT held GROUP BY model, version
  UNION ALL
  SELECT model, version, count(*), 0 FROM jobs
  WHERE state = 'queued' AND held GROUP BY model, version
  UNION ALL
  SELECT model, version, count(*), 0 FROM jobs
  WHERE state = 'queued' AND released_at IS NOT NULL AND NOT held GROUP BY model, version
  UNION ALL
  SELECT model, version, 0, count(*) FROM jobs WHERE state = 'running' GROUP BY model, version
) parts GROUP BY model, version ORDER BY model, version
""")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it stood when it was read; lists leave `text` and `details` out."""

    id: UUID
    tenant_id: UUID
    task: str
    model: str
    version: int
    state: str
    priority: str
    attempt: int
    cancel_requested: bool
    prompt_tokens: int
    completion_tokens: int | None
    finish_reason: str | None
    error_code: str | None
    submitted_at: datetime
    started_at: datetime | None
    first_token_at: datetime | None
    finished_at: datetime | None
    run_at: datetime | None
    expires_at: datetime | None
    deadline: datetime | None
    replay_of: UUID | None
    batch_id: UUID | None
    labels: dict[str, str]
    text: str | None
    error_message: str | None
    details: dict[str, Any] | None = None
    erased_at: datetime | None = None

    @property
    def choices(self) -> list[Choice]:
        """Its completions, in order; none if it has no result."""
        return [] if self.text is None else choices(self.text, self.finish_reason, self.details)

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return State(self.state) in TERMINAL


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a tenant to list; `before` is the last id of the page before."""

    state: str | None = None
    task: str | None = None
    model: str | None = None
    version: int | None = None
    error_code: str | None = None
    ended_since: datetime | None = None
    ended_until: datetime | None = None
    worker: UUID | None = None
    batch: UUID | None = None
    before: UUID | None = None
    limit: int = 20

    def values(self) -> dict[str, Any]:
        """What `MATCHES` compares with, and the bounds of the page."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Jobs of one model version that are not finished."""

    model: str
    version: int
    queued: int
    running: int


def get_many(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, JobView]:
    """Jobs by id, of any tenant: the caller compares `tenant_id`."""
    one = len(ids) == 1
    rows = run(engine, _GET if one else _GET_MANY, {"id": ids[0]} if one else {"ids": list(ids)})
    return {row.id: JobView(*row) for row in rows}


def get(engine: Engine, tenant_id: UUID, job_id: UUID) -> JobView | None:
    """One job of a tenant; somebody else's is `None` like a missing one."""
    view = get_many(engine, [job_id]).get(job_id)
    return view if view is not None and view.tenant_id == tenant_id else None


def list_jobs(engine: Engine, tenant_id: UUID, wanted: JobFilter) -> list[JobView]:
    """A tenant's jobs, newest first."""
    values = wanted.values() | {"tenant_id": tenant_id}
    statement = _LIST if wanted.batch is None else _LIST_OF_BATCH
    return [JobView(*row) for row in run(engine, statement, values)]


def asked(engine: Engine, job_id: UUID) -> dict[str, Any] | None:
    """What a job's route keeps of its request, None for a native job; the caller
    knows whose job it is."""
    rows = run(engine, _ASKED, {"id": job_id})
    found: dict[str, Any] | None = rows[0].asked if rows else None
    return found


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job. `outcome` is the state it led to, `reason` the error's code."""

    attempt: int
    worker_id: UUID | None
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    reason: str | None


def attempts(engine: Engine, job_id: UUID) -> list[Attempt]:
    """A job's attempts, first to last; the caller knows whose job it is."""
    return [Attempt(*row) for row in run(engine, _ATTEMPTS, {"id": job_id})]


def finished_among(engine: Engine, ids: Sequence[UUID]) -> list[UUID]:
    """Those of the jobs that have ended."""
    return [row.id for row in run(engine, _FINISHED, {"ids": list(ids)})]


def queue_depths(engine: Engine) -> list[QueueDepth]:
    """How much waits and runs, for each model version."""
    return [QueueDepth(*row) for row in run(engine, _QUEUES, {})]
