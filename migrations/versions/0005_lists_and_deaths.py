"""Indexes for lists and the housekeeper; whether a worker was seen dead.

Release is by rank alone now and needs no index of interactive jobs.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

INTERACTIVE = "state = 'queued' AND released_at IS NULL AND priority = 'interactive'"


def upgrade() -> None:
    """Adds two indexes and a column, drops an index."""
    op.drop_index("ix_jobs_waiting_interactive", "jobs")
    op.create_index("ix_jobs_tenant_state", "jobs", ["tenant_id", "state", "id"])
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.add_column(
        "workers", sa.Column("died", sa.Boolean(), server_default="false", nullable=False)
    )


def downgrade() -> None:
    """Takes them back."""
    op.drop_column("workers", "died")
    op.drop_index("ix_idempotency_keys_created_at", "idempotency_keys")
    op.drop_index("ix_jobs_tenant_state", "jobs")
    op.create_index(
        "ix_jobs_waiting_interactive",
        "jobs",
        ["model", "version", "rank"],
        postgresql_where=sa.text(INTERACTIVE),
    )
