"""Erasing what jobs were asked and what came out; used by the Task Manager alone.

The ledger stays: the job's row, its events and its usage. What goes: input, labels,
parameters, result, error message. `erased_at` says so, and only a job that has ended
can have it (a check of the table).
"""

from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run

_MOST_DUE = 500

# Nothing is left out of it by a job that ends meanwhile: who is not ended when the
# statement begins is not chosen.
_ERASE = """
), erased AS (
  UPDATE jobs SET erased_at = clock_timestamp() FROM chosen
  WHERE jobs.id = chosen.id AND erased_at IS NULL
  RETURNING jobs.id, jobs.attempt
), input AS (
  DELETE FROM job_inputs i USING erased WHERE i.job_id = erased.id
), result AS (
  DELETE FROM job_results r USING erased WHERE r.job_id = erased.id
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, 'erased', attempt, :reason FROM erased RETURNING job_id
"""

_ONE = text(f"""
WITH chosen AS (
  SELECT id FROM jobs WHERE id = :id AND tenant_id = :tenant_id
    AND state IN ('succeeded', 'failed', 'cancelled', 'expired')
{_ERASE}""")  # noqa: S608 - only constants are joined

# Each tenant's oldest by the index of what is not erased; then locked in id order.
_DUE = text(f"""
WITH chosen AS MATERIALIZED (
  SELECT id FROM jobs WHERE erased_at IS NULL AND id = ANY(ARRAY(
    SELECT due.id FROM tenants t CROSS JOIN LATERAL (
      SELECT j.id FROM jobs j WHERE j.tenant_id = t.id AND j.erased_at IS NULL
        AND j.finished_at < clock_timestamp() - make_interval(secs => t.retain_results_s)
      ORDER BY j.finished_at LIMIT :most) due
    WHERE t.retain_results_s IS NOT NULL LIMIT :most))
  ORDER BY id FOR UPDATE SKIP LOCKED
{_ERASE}""")  # noqa: S608 - only constants are joined


class Erasing:
    """The part of the Task Manager that erases."""

    _engine: Engine

    def erase(self, tenant_id: UUID, job_id: UUID) -> bool:
        """Erases the content of a job that has ended; False if there is no such job
        of this tenant, it has not ended, or it was erased before."""
        values = {"id": job_id, "tenant_id": tenant_id, "reason": "client"}
        return bool(run(self._engine, _ONE, values))

    def erase_due(self) -> bool:
        """Erases what tenants do not want to be kept longer, a bounded piece of it;
        True if more may wait. Safe in several processes at once."""
        erased = run(self._engine, _DUE, {"most": _MOST_DUE, "reason": "retention"})
        return len(erased) >= _MOST_DUE
