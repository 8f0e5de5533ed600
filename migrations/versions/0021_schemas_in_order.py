"""What was asked keeps the order of its keys: a JSON schema's properties are written in it.

jsonb sorts keys. The tables of inputs and batches are written anew, which locks them for
as long: on millions of jobs stop the web processes meanwhile.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_COLUMNS = (("job_inputs", "parameters"), ("job_inputs", "asked"), ("batches", "overrides"))


def upgrade() -> None:
    """Changes the types."""
    for table, column in _COLUMNS:
        op.alter_column(table, column, type_=sa.JSON(), postgresql_using=f"{column}::json")


def downgrade() -> None:
    """Changes them back."""
    for table, column in _COLUMNS:
        op.alter_column(table, column, type_=JSONB(), postgresql_using=f"{column}::jsonb")
