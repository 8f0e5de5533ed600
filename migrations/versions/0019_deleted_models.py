"""Model versions may be deleted; their rows stay."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Adds the columns."""
    for name in ("deleted_at", "erased_at"):
        op.add_column("model_versions", sa.Column(name, sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Drops them."""
    for name in ("erased_at", "deleted_at"):
        op.drop_column("model_versions", name)
