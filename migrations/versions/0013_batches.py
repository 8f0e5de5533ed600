"""Batches, their lines, and which job is a line of which batch.

Jobs can also be held: they wait and are not released. The index of waiting jobs leaves
them out, so that a paused batch of fifty thousand lines costs a release nothing.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

WAITING = "state = 'queued' AND released_at IS NULL"
FLOW = ["model", "version", "tenant_id", "priority"]

# A copy of jobs.batches.states.BATCH_TRANSITIONS as it was at this revision; a test
# holds the newest copy against the table.
GUARD = """
CREATE FUNCTION guard_batch_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (OLD.status = 'validating' AND NEW.status IN ('in_progress', 'failed', 'cancelling'))
    OR (OLD.status = 'in_progress' AND NEW.status IN ('finalizing', 'cancelling'))
    OR (OLD.status = 'finalizing' AND NEW.status IN ('completed', 'expired', 'failed'))
    OR (OLD.status = 'cancelling' AND NEW.status IN ('cancelled')) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'batch % is %: it cannot become %',
    OLD.id, OLD.status, NEW.status USING ERRCODE = 'integrity_constraint_violation';
END $$
"""

TRIGGER = """
CREATE TRIGGER guard_batch_state BEFORE UPDATE ON batches FOR EACH ROW
WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION guard_batch_state()
"""


def upgrade() -> None:
    """Adds tables, columns, indexes and the guard; rewrites no row of `jobs`."""
    _batches()
    _lines()
    op.add_column("jobs", sa.Column("batch_id", sa.Uuid(), nullable=True))
    op.add_column("jobs", _flag("held"))
    op.create_index("ix_jobs_batch", "jobs", ["batch_id", "state"],
                    postgresql_where=sa.text("batch_id IS NOT NULL"))  # fmt: skip
    op.create_index("ix_jobs_held", "jobs", ["batch_id"],
                    postgresql_where=sa.text("held AND state = 'queued'"))  # fmt: skip
    _waiting(f"{WAITING} AND NOT held")
    op.execute(GUARD)
    op.execute(TRIGGER)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _count(name: str, kind: Any = None) -> sa.Column[int]:
    return sa.Column(name, kind or sa.Integer(), server_default="0", nullable=False)


def _moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def _waiting(rows: str) -> None:
    op.drop_index("ix_jobs_waiting", "jobs")
    op.create_index("ix_jobs_waiting", "jobs", [*FLOW, "rank"], postgresql_where=sa.text(rows))


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("input_file_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), server_default="validating", nullable=False),
        sa.Column("completion_window_s", sa.Integer(), nullable=False),
        sa.Column("completion_window", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), server_default="batch", nullable=False),
        sa.Column("labels", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("client_address", sa.Text(), nullable=False),
        sa.Column("output_expires_after_s", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True),
                  server_default=sa.text("clock_timestamp()"), nullable=False),
        *(_moment(f"{name}_at") for name in ("in_progress", "finalizing", "completed", "failed",
                                             "cancelling", "cancelled")),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        _moment("expired_at"),
        _count("lines"),
        _count("refused"),
        _count("intake_bytes", sa.BigInteger()),
        _count("intake_line"),
        _moment("intake_ended_at"),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        *(sa.Column(name, sa.Uuid(), nullable=True)
          for name in ("output_file_id", "error_file_id", "taken_by")),
        *(sa.Column(name, sa.BigInteger(), nullable=True)
          for name in ("prompt_tokens", "completion_tokens")),
        _moment("taken_until"),
        *(_flag(name) for name in ("paused", "open", "dedupe")),
        sa.Column("retry_of", sa.Uuid(), nullable=True),
        sa.Column("overrides", postgresql.JSONB(), nullable=True),
        sa.CheckConstraint(
            "status IN ('validating','in_progress','finalizing','completed','failed','expired',"
            "'cancelling','cancelled')",
            name=op.f("ck_batches_status_known"),
        ),
    )  # fmt: skip
    op.create_index("ix_batches_tenant", "batches", ["tenant_id", "id"])
    unfinished = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
    op.create_index("ix_batches_unfinished", "batches", ["id"],
                    postgresql_where=sa.text(unfinished))  # fmt: skip


def _lines() -> None:
    op.create_table(
        "batch_lines",
        sa.Column("batch_id", sa.Uuid(), sa.ForeignKey("batches.id"), primary_key=True),
        sa.Column("line", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("custom_id", sa.Text(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.Column("same_as", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(job_id IS NULL) <> (error IS NULL)", name=op.f("ck_batch_lines_job_or_error")
        ),
    )
    op.create_index(
        "uq_batch_lines_custom_id", "batch_lines", ["batch_id", "custom_id"], unique=True
    )
    op.create_index("ix_batch_lines_job_id", "batch_lines", ["job_id"],
                    postgresql_where=sa.text("job_id IS NOT NULL"))  # fmt: skip
    op.create_index("ix_batch_lines_same", "batch_lines", ["batch_id"],
                    postgresql_where=sa.text("same_as IS NOT NULL"))  # fmt: skip


def downgrade() -> None:
    """Takes all of it back; held jobs wait like others again."""
    op.drop_index("ix_jobs_held", "jobs")
    op.drop_index("ix_jobs_batch", "jobs")
    _waiting(WAITING)
    op.drop_column("jobs", "held")
    op.drop_column("jobs", "batch_id")
    op.drop_table("batch_lines")
    op.drop_table("batches")
    op.execute("DROP FUNCTION guard_batch_state()")
