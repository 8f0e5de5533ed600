"""Terminal states never change, and no state is skipped: Postgres refuses it.

Promise and rule: docs/life-of-a-job.md, invariant I2. The graph below is a
copy of jobs.states.TRANSITIONS as it was at this revision; a test holds the
newest copy against the table.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

GUARD = """
CREATE FUNCTION guard_job_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state = NEW.state AND OLD.state IN ('queued', 'running') THEN
    RETURN NEW;
  END IF;
  IF (OLD.state = 'queued' AND NEW.state IN ('running', 'failed', 'cancelled', 'expired'))
    OR (OLD.state = 'running'
        AND NEW.state IN ('succeeded', 'failed', 'cancelled', 'expired', 'queued')) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'job % is %: its state, attempt and outcome do not change (wanted: %)',
    OLD.id, OLD.state, NEW.state USING ERRCODE = 'integrity_constraint_violation';
END $$
"""

# Fires for a change of state, and for any change of a finished job's ledger.
TRIGGER = """
CREATE TRIGGER guard_job_state BEFORE UPDATE ON jobs FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state
  OR (OLD.state IN ('succeeded', 'failed', 'cancelled', 'expired')
      AND (OLD.attempt, OLD.worker_id, OLD.finish_reason, OLD.error_code, OLD.completion_tokens,
           OLD.prompt_tokens, OLD.finished_at)
        IS DISTINCT FROM
          (NEW.attempt, NEW.worker_id, NEW.finish_reason, NEW.error_code, NEW.completion_tokens,
           NEW.prompt_tokens, NEW.finished_at)))
EXECUTE FUNCTION guard_job_state()
"""

# Rows of the queue are rewritten four times in a short life: vacuum early, by
# count and not by share, so that a large ledger does not postpone it.
VACUUM = """
ALTER TABLE jobs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)
"""


def upgrade() -> None:
    """Adds the guard and the vacuum settings of the queue."""
    op.execute(GUARD)
    op.execute(TRIGGER)
    op.execute(VACUUM)


def downgrade() -> None:
    """Takes both back."""
    op.execute("DROP TRIGGER guard_job_state ON jobs")
    op.execute("DROP FUNCTION guard_job_state()")
    op.execute(
        "ALTER TABLE jobs RESET (fillfactor, autovacuum_vacuum_scale_factor,"
        " autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay,"
        " autovacuum_analyze_scale_factor, autovacuum_analyze_threshold)"
    )
