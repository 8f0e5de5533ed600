"""Content can be erased: a mark on jobs, and how long tenants want theirs kept."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ENDED = "erased_at IS NULL OR state IN ('succeeded', 'failed', 'cancelled', 'expired')"


def upgrade() -> None:
    """Adds columns (no row is rewritten), the check, and the index of what is not erased."""
    op.add_column("jobs", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f("ck_jobs_erased_has_ended"), "jobs", ENDED)
    op.create_index(
        "ix_jobs_not_erased",
        "jobs",
        ["tenant_id", "finished_at"],
        postgresql_where=sa.text("finished_at IS NOT NULL AND erased_at IS NULL"),
    )
    for name in ("retain_results_s", "retain_files_s"):
        op.add_column("tenants", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Takes them back; what was erased stays erased."""
    for name in ("retain_files_s", "retain_results_s"):
        op.drop_column("tenants", name)
    op.drop_index("ix_jobs_not_erased", "jobs")
    op.drop_constraint(op.f("ck_jobs_erased_has_ended"), "jobs")
    op.drop_column("jobs", "erased_at")
