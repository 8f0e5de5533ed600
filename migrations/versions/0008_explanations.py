"""What explains a waiting job: sightings of the dispatcher, predictions and how
wrong they were, deaths and proofs of workers, and totals for /metrics."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NOTABLE = (
    "kind IN ('cancelled', 'expired', 'failed') "
    "OR reason IN ('worker_died_alone', 'worker_died_with_others', 'lease_lost')"
)


def upgrade() -> None:
    """Adds tables, columns and indexes."""
    op.create_table(
        "components",
        sa.Column("name", sa.Text(), primary_key=True),
        _moment("seen_at", now=True),
        sa.Column("broker_ok", sa.Boolean(), nullable=True),
        sa.Column("broker_since", sa.DateTime(timezone=True), nullable=True),
    )
    _predictions()
    op.create_table("counters", sa.Column("name", sa.Text(), primary_key=True), *_model(), _count())
    op.add_column("workers", sa.Column("exit_code", sa.Integer(), nullable=True))
    op.add_column("workers", sa.Column("proven_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_workers_died",
        "workers",
        ["model", "version", "ended_at"],
        postgresql_where=sa.text("died"),
    )
    op.create_index(
        "ix_jobs_replay_of",
        "jobs",
        ["replay_of"],
        postgresql_where=sa.text("replay_of IS NOT NULL"),
    )
    op.create_index(
        "ix_job_events_notable", "job_events", ["id"], postgresql_where=sa.text(NOTABLE)
    )


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("job_id", sa.Uuid(), primary_key=True),
        sa.Column("source", sa.Text(), primary_key=True),
        _moment("made_at", now=True),
        *[
            _moment(f"{what}_{when}")
            for what in ("start", "finish")
            for when in ("earliest", "expected", "latest")
        ],
    )
    op.create_table(
        "estimate_errors",
        *_model(),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("within_s", sa.Double(), primary_key=True),
        _count("count"),
        _count("inside"),
        sa.Column("error_s", sa.Double(), server_default="0", nullable=False),
    )


def _moment(name: str, *, now: bool = False) -> sa.Column[Any]:
    start = sa.text("clock_timestamp()") if now else None
    # A latest time is not always known.
    nullable = name.endswith("latest")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=start, nullable=nullable)


def _model() -> list[sa.Column[Any]]:
    return [
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
    ]


def _count(name: str = "value") -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def downgrade() -> None:
    """Takes them back."""
    op.drop_index("ix_job_events_notable", "job_events")
    op.drop_index("ix_jobs_replay_of", "jobs")
    op.drop_index("ix_workers_died", "workers")
    op.drop_column("workers", "proven_at")
    op.drop_column("workers", "exit_code")
    for table in ("counters", "estimate_errors", "predictions", "components"):
        op.drop_table(table)
