"""Times to the first token and between tokens."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Adds the columns of what has just ended, and the totals. Rows of processes of the
    version before have nothing in the columns, and are counted in no total."""
    op.add_column("settlements", sa.Column("first_token_s", sa.Double()))
    op.add_column("settlements", sa.Column("inter_token_s", sa.Double()))
    op.create_table(
        "token_times",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("priority", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("within_s", sa.Double(), primary_key=True),
        sa.Column("jobs", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("took_s", sa.Double(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    """Drops them."""
    op.drop_table("token_times")
    op.drop_column("settlements", "inter_token_s")
    op.drop_column("settlements", "first_token_s")
