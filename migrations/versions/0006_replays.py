"""A replay is a new job that knows which finished one it repeats."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("jobs", sa.Column("replay_of", sa.Uuid()))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("jobs", "replay_of")
