"""Running finished jobs' inputs again as new jobs; used by the Task Manager alone.

One by its id, or many at once by filter. By filter a job that was replayed before
is passed over, so a replay that was interrupted goes on where it stopped, and a
repeated one adds nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from jobs import audit, statements
from jobs.audit import Actor, Change, Scalar
from jobs.database import transact
from jobs.ids import new_id
from jobs.job_views import MATCHES, JobFilter
from jobs.states import CLASS_OFFSET_S

# One replay at a time for a tenant: two would see the same jobs as not replayed.
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:tenant_id AS text), 3))")

_FIND = text(f"""
SELECT id FROM jobs WHERE tenant_id = :tenant_id
  AND state IN ('succeeded', 'failed', 'cancelled', 'expired') AND {MATCHES}
  AND erased_at IS NULL AND NOT EXISTS (SELECT FROM jobs again WHERE again.replay_of = jobs.id)
ORDER BY id LIMIT :limit
""")  # noqa: S608 - only constants are joined

_REPLAY = text("""
WITH pairs AS (
  SELECT * FROM unnest(CAST(:new_ids AS uuid[]), CAST(:old_ids AS uuid[])) AS t(new_id, old_id)
), job AS (
  INSERT INTO jobs (id, replay_of, tenant_id, task, model, version, priority, client_address,
                    rank, floor, prompt_tokens, max_tokens, max_attempts)
  SELECT new_id, old.id, tenant_id, task, old.model, old.version, priority, :client_address,
         clock_timestamp()
           + make_interval(secs => CAST(CAST(:offsets_s AS jsonb) ->> priority AS float8)),
         coalesce(c.floor, 0), prompt_tokens, max_tokens, max_attempts
  FROM pairs JOIN jobs old ON old.id = old_id
  LEFT JOIN model_clocks c ON c.model = old.model AND c.version = old.version
  ON CONFLICT (id) DO NOTHING RETURNING id, replay_of
), input AS (
  INSERT INTO job_inputs (job_id, input, parameters, labels)
  SELECT job.id, i.input, i.parameters, i.labels
  FROM job JOIN job_inputs i ON i.job_id = job.replay_of
)
INSERT INTO job_events (job_id, kind, attempt, reason) SELECT id, 'queued', 0, 'replay' FROM job
RETURNING job_id
""")


def replay_one(
    engine: Engine, tenant_id: UUID, job_id: UUID, client_address: str, by: Actor | None
) -> UUID | None:
    """See `TaskManager.replay`."""
    id = new_id()
    values = {
        "id": id,
        "old_id": job_id,
        "tenant_id": tenant_id,
        "client_address": client_address,
        "offsets_s": _offsets(),
    }
    change = Change("job.replay", job_id, {"new_id": str(id)}, tenant_id)

    def work(connection: Connection) -> UUID | None:
        if connection.execute(statements.REPLAY, values).one_or_none() is None:
            return None
        audit.record(connection, by, change)
        return id

    return transact(engine, work)


def _offsets() -> str:
    return json.dumps({priority.value: s for priority, s in CLASS_OFFSET_S.items()})


@dataclass(frozen=True, slots=True)
class Replay:
    """A finished job and the new one that runs its input again; None in a dry run."""

    old_id: UUID
    new_id: UUID | None


def replay(
    connection: Connection, tenant_id: UUID, wanted: JobFilter, client_address: str, *,
    dry: bool, by: Actor | None = None,
) -> Sequence[Replay]:  # fmt: skip
    """Replays up to `wanted.limit` jobs in the caller's transaction, oldest first."""
    connection.execute(_ALONE, {"tenant_id": tenant_id})
    values: dict[str, Any] = wanted.values() | {"tenant_id": tenant_id}
    old_ids = [row.id for row in connection.execute(_FIND, values)]
    if dry or not old_ids:
        return [Replay(id, None) for id in old_ids]
    new_ids = [new_id() for _ in old_ids]
    connection.execute(
        _REPLAY,
        {
            "new_ids": new_ids,
            "old_ids": old_ids,
            "client_address": client_address,
            "offsets_s": _offsets(),
        },
    )
    told: dict[str, Scalar] = {"jobs": len(old_ids), "first": str(old_ids[0])}
    audit.record(connection, by, Change("job.replay", "many", told, tenant_id))
    return [Replay(old, new) for old, new in zip(old_ids, new_ids, strict=True)]
