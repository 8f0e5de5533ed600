"""A part says which of its chores fail."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Adds the column."""
    column = sa.Column("failing", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb"))
    op.add_column("components", column)


def downgrade() -> None:
    """Drops it."""
    op.drop_column("components", "failing")
