"""Encoders: models that make vectors of texts; echo does so too."""

from collections.abc import Sequence

from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Allows the engine; the echo models that are there embed, too."""
    _allow("'lm', 'encoder', 'echo'")
    op.execute(
        "UPDATE model_versions SET tasks = tasks || 'embed'::text "
        "WHERE engine = 'echo' AND NOT 'embed' = ANY (tasks)"
    )


def downgrade() -> None:
    """Takes both back; fails while an encoder is in the Model Store."""
    _allow("'lm', 'echo'")
    op.execute("UPDATE model_versions SET tasks = array_remove(tasks, 'embed')")


def _allow(engines: str) -> None:
    op.execute("ALTER TABLE model_versions DROP CONSTRAINT ck_model_versions_engine_known")
    op.execute(
        "ALTER TABLE model_versions ADD CONSTRAINT ck_model_versions_engine_known "
        f"CHECK (engine IN ({engines}))"
    )
