"""Batches that can be steered, tried out and watched while they run.

A line's end is noted in a table of its own, with the transaction that it came in:
who follows a batch reads on from a place and misses no line that was committed late.
Two triggers see to it, whichever statement ends a job.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Also of lines that share the job of an earlier one.
JOB_ENDED = """
CREATE FUNCTION note_ended_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO batch_endings (batch_id, line)
  SELECT batch_id, line FROM batch_lines WHERE job_id = NEW.id;
  RETURN NULL;
END $$
"""

ON_JOBS = """
CREATE TRIGGER note_ended_lines AFTER UPDATE ON jobs FOR EACH ROW
WHEN (NEW.batch_id IS NOT NULL AND OLD.state IN ('queued', 'running')
      AND NEW.state IN ('succeeded', 'failed', 'cancelled', 'expired'))
EXECUTE FUNCTION note_ended_lines()
"""

# A line that was refused, or whose job has ended before. The lock: a job that ends
# at this moment is waited for, or waits and then finds this line.
LINE_ENDED = """
CREATE FUNCTION note_ended_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.error IS NULL THEN
    PERFORM FROM jobs WHERE id = NEW.job_id AND state IN ('queued', 'running') FOR SHARE;
    IF FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  INSERT INTO batch_endings (batch_id, line) VALUES (NEW.batch_id, NEW.line);
  RETURN NULL;
END $$
"""

ON_LINES = """
CREATE TRIGGER note_ended_line AFTER INSERT ON batch_lines FOR EACH ROW
WHEN (NEW.error IS NOT NULL OR NEW.same_as IS NOT NULL)
EXECUTE FUNCTION note_ended_line()
"""

# A copy of jobs.batches.states.BATCH_TRANSITIONS as it was at this revision: a dry run
# is complete once its file was read.
GUARD = """
CREATE OR REPLACE FUNCTION guard_batch_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (OLD.status = 'validating' AND NEW.status IN ('in_progress', 'failed', 'cancelling', 'completed'))
    OR (OLD.status = 'in_progress' AND NEW.status IN ('finalizing', 'cancelling'))
    OR (OLD.status = 'finalizing' AND NEW.status IN ('completed', 'expired', 'failed'))
    OR (OLD.status = 'cancelling' AND NEW.status IN ('cancelled')) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'batch % is %: it cannot become %',
    OLD.id, OLD.status, NEW.status USING ERRCODE = 'integrity_constraint_violation';
END $$
"""  # noqa: E501


def upgrade() -> None:
    """Adds columns to batches, two tables, the triggers and the new way."""
    for name in ("dry_run", "unsettled"):
        op.add_column(
            "batches",
            sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False),
        )
    op.add_column("batches", sa.Column("report", postgresql.JSONB(), nullable=True))
    op.create_index("ix_batches_unsettled", "batches", ["id"],
                    postgresql_where=sa.text("unsettled OR paused"))  # fmt: skip
    op.add_column("batch_lines", sa.Column("digest", sa.LargeBinary(), nullable=True))
    op.create_index("ix_batch_lines_digest", "batch_lines", ["batch_id", "digest"],
                    postgresql_where=sa.text("digest IS NOT NULL"))  # fmt: skip
    op.create_table(
        "batch_endings",
        sa.Column("batch_id", sa.Uuid(), primary_key=True),
        sa.Column("txid", sa.BigInteger(), primary_key=True, autoincrement=False,
                  server_default=sa.text("((pg_current_xact_id())::text)::bigint")),
        sa.Column("line", sa.Integer(), primary_key=True, autoincrement=False),
    )  # fmt: skip
    op.create_table(
        "appended_lines",
        sa.Column("batch_id", sa.Uuid(), sa.ForeignKey("batches.id"), primary_key=True),
        sa.Column("line", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
    )
    for statement in (JOB_ENDED, ON_JOBS, LINE_ENDED, ON_LINES):
        op.execute(statement)
    op.execute(GUARD)


def downgrade() -> None:
    """Takes all of it back."""
    op.execute(GUARD.replace(", 'completed'))", "))"))
    op.execute("DROP TRIGGER note_ended_lines ON jobs")
    op.execute("DROP TRIGGER note_ended_line ON batch_lines")
    op.execute("DROP FUNCTION note_ended_lines()")
    op.execute("DROP FUNCTION note_ended_line()")
    op.drop_table("appended_lines")
    op.drop_table("batch_endings")
    op.drop_index("ix_batch_lines_digest", "batch_lines")
    op.drop_column("batch_lines", "digest")
    op.drop_index("ix_batches_unsettled", "batches")
    for name in ("report", "unsettled", "dry_run"):
        op.drop_column("batches", name)
