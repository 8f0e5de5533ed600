"""What the deletion of a model version means for its jobs; used by the Task Manager.

Jobs are pinned to a version when they are submitted. Those that run on a deleted
one end as they would have; those that still wait fail with `model_deleted`.
"""

from uuid import UUID

from sqlalchemy import Connection, Engine, text

from jobs.database import run
from jobs.errors import ModelDeleted
from jobs.shares.statements import settled
from jobs.webhooks.announcements import announced_jobs

# Three parts, each with an index of its own: the ledger is not walked. Held jobs are
# lines of paused batches.
_OPEN = """
SELECT id FROM jobs WHERE model = :model AND version = :version
  AND state = 'queued' AND released_at IS NULL AND NOT held
UNION ALL
SELECT id FROM jobs WHERE model = :model AND version = :version
  AND state = 'queued' AND released_at IS NOT NULL
UNION ALL
SELECT j.id FROM batches b JOIN jobs j ON j.batch_id = b.id AND j.state = 'queued'
WHERE j.held AND j.released_at IS NULL AND j.model = :model AND j.version = :version
"""

_COUNT = text(f"""
SELECT (SELECT count(*) FROM ({_OPEN}) parts)
     + (SELECT count(*) FROM workers w JOIN jobs j ON j.worker_id = w.id AND j.state = 'running'
        WHERE j.model = :model AND j.version = :version)
""")  # noqa: S608 - only constants are joined

_FAIL_WAITING = text(f"""
WITH waiting AS MATERIALIZED (SELECT id FROM ({_OPEN}) parts LIMIT 1000
), orphans AS MATERIALIZED (
  SELECT id FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM waiting)) AND state = 'queued'
  ORDER BY id FOR UPDATE SKIP LOCKED
), ended AS (
  UPDATE jobs j SET state = 'failed', finished_at = clock_timestamp(),
    error_code = '{ModelDeleted.code}'
  FROM orphans o WHERE j.id = o.id AND j.state = 'queued'
  RETURNING j.*
), settled AS (
{settled("ended")}
), announced AS (
{announced_jobs("ended")}
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, 'failed', attempt, error_code FROM ended
RETURNING job_id AS id
""")  # noqa: S608 - only constants are joined


_FORGET_SHARES = text("DELETE FROM fair_shares WHERE model = :model AND version = :version")


def fail_waiting(engine: Engine, model: str, version: int) -> list[UUID]:
    """Ends waiting jobs of a version, at most a thousand at once. Safe in several
    processes at once."""
    values = {"model": model, "version": version}
    return [row.id for row in run(engine, _FAIL_WAITING, values)]


def open_jobs(connection: Connection, model: str, version: int) -> int:
    """How many jobs of a version have not ended."""
    values = {"model": model, "version": version}
    return int(connection.execute(_COUNT, values).scalar_one())


def forget_shares(connection: Connection, model: str, version: int) -> None:
    """Forgets what tenants were given of a version that nobody can ask for any more. If it
    comes back, all begin at its virtual time, which stays."""
    connection.execute(_FORGET_SHARES, {"model": model, "version": version})
