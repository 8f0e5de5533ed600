"""Times (run_at, expires_at, deadline), bounded retries, and attempts to read.

An attempt is what stands between two events of a job; it needs no rows of its
own, only a view (docs/decisions/0004).
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ATTEMPTS = """
CREATE VIEW job_attempts AS
SELECT job_id, attempt, worker_id, started_at, ended_at, outcome, reason FROM (
  SELECT job_id, attempt, worker_id, kind, at AS started_at,
         lead(at) OVER story AS ended_at, lead(kind) OVER story AS outcome,
         lead(reason) OVER story AS reason
  FROM job_events WHERE kind <> 'cancel_requested'
  WINDOW story AS (PARTITION BY job_id ORDER BY id)
) told WHERE kind = 'running'
"""


def upgrade() -> None:
    """Adds columns, the index of what can expire, and the view."""
    for name in ("run_at", "expires_at", "deadline"):
        op.add_column("jobs", sa.Column(name, sa.DateTime(timezone=True)))
    for name, start in (("max_attempts", "3"), ("errors", "0")):
        op.add_column(
            "jobs", sa.Column(name, sa.SmallInteger(), server_default=start, nullable=False)
        )
    op.create_index(
        "ix_jobs_expiring",
        "jobs",
        ["expires_at"],
        postgresql_where=sa.text("state = 'queued' AND expires_at IS NOT NULL"),
    )
    op.execute(ATTEMPTS)


def downgrade() -> None:
    """Takes them back."""
    op.execute("DROP VIEW job_attempts")
    op.drop_index("ix_jobs_expiring", "jobs")
    for name in ("run_at", "expires_at", "deadline", "max_attempts", "errors"):
        op.drop_column("jobs", name)
