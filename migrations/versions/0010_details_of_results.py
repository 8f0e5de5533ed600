"""What some results hold beside a text: logprobs, and several completions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("job_results", sa.Column("details", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("job_results", "details")
