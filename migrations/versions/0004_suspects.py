"""Suspects: jobs that were together in a worker when it died."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Adds the group and the index by which a worker finds one."""
    op.add_column("jobs", sa.Column("suspect_group", sa.Uuid()))
    op.create_index(
        "ix_jobs_suspect",
        "jobs",
        ["model", "version", "rank"],
        postgresql_where=sa.text("state = 'queued' AND suspect_group IS NOT NULL"),
    )


def downgrade() -> None:
    """Takes both back."""
    op.drop_index("ix_jobs_suspect", "jobs")
    op.drop_column("jobs", "suspect_group")
