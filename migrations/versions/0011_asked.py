"""What a job's route repeats of its request in every answer."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("job_inputs", sa.Column("asked", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("job_inputs", "asked")
