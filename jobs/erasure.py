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
), appended AS (
  DELETE FROM appended_lines a USING erased, batch_lines l
  WHERE l.job_id = erased.id AND a.batch_id = l.batch_id AND a.line = l.line
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, 'erased', attempt, :reason FROM erased RETURNING job_id
"""

_ONE = text(f"""
WITH chosen AS (
  SELECT id FROM jobs WHERE id = :id AND tenant_id = :tenant_id
    AND state IN ('succeeded', 'failed', 'cancelled', 'expired')
{_ERASE}""")  # noqa: S608 - only constants are joined

# Each tenant's oldest by the index of what is not erased; then locked in id order. What
# a batch that still runs has yet to put into its files is not due.
_DUE = text(f"""
WITH chosen AS MATERIALIZED (
  SELECT id FROM jobs WHERE erased_at IS NULL AND id = ANY(ARRAY(
    SELECT due.id FROM tenants t CROSS JOIN LATERAL (
      SELECT j.id FROM jobs j WHERE j.tenant_id = t.id AND j.erased_at IS NULL
        AND j.finished_at < clock_timestamp() - make_interval(secs => t.retain_results_s)
        AND (j.batch_id IS NULL OR j.batch_id <> ALL (ARRAY(SELECT id FROM batches
          WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling'))))
      ORDER BY j.finished_at LIMIT :most) due
    WHERE t.retain_results_s IS NOT NULL LIMIT :most))
  ORDER BY id FOR UPDATE SKIP LOCKED
{_ERASE}""")  # noqa: S608 - only constants are joined

# Appended lines that were refused have no job that would be erased; they go with the
# time of their batch.
_APPENDED_DUE = text("""
DELETE FROM appended_lines WHERE (batch_id, line) IN (
  SELECT a.batch_id, a.line FROM appended_lines a
  JOIN batches b ON b.id = a.batch_id JOIN tenants t ON t.id = b.tenant_id
  WHERE coalesce(b.completed_at, b.failed_at, b.expired_at, b.cancelled_at)
        < clock_timestamp() - make_interval(secs => t.retain_results_s)
  LIMIT :most)
RETURNING line
""")


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
        appended = run(self._engine, _APPENDED_DUE, {"most": _MOST_DUE})
        return max(len(erased), len(appended)) >= _MOST_DUE
