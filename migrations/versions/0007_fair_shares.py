"""Whose turn it is: fair shares between tenants, a clock for each model, paused models.

Release goes by flow (tenant and class) and no longer by rank over all tenants
(docs/decisions/0006), so the index of waiting jobs has the flow before the rank.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

RELEASED = "state = 'queued' AND released_at IS NOT NULL"
WAITING = "state = 'queued' AND released_at IS NULL"
SUSPECT = "state = 'queued' AND suspect_group IS NOT NULL"
MODEL = ["model", "version"]
FLOW = [*MODEL, "tenant_id", "priority"]


def upgrade() -> None:
    """Adds tables and columns, and replaces three indexes."""
    op.add_column("tenants", _number("weight", "1"))
    op.create_check_constraint(op.f("ck_tenants_weight_positive"), "tenants", "weight > 0")
    op.add_column("jobs", _number("turn", "0"))
    op.add_column("jobs", sa.Column("floor", sa.Double()))
    op.add_column("jobs", sa.Column("charged", sa.Integer(), server_default="0", nullable=False))
    _index("ix_jobs_waiting", [*FLOW, "rank"], WAITING)
    _index("ix_jobs_released", [*MODEL, "turn"], RELEASED)
    _index("ix_jobs_suspect", [*MODEL, "turn"], SUSPECT)
    _fair_shares()
    _models()


def _number(name: str, start: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), server_default=start, nullable=False)


def _index(name: str, columns: list[str], rows: str) -> None:
    op.drop_index(name, "jobs")
    op.create_index(name, "jobs", columns, postgresql_where=sa.text(rows))


def _flow(*, key: bool) -> list[sa.Column[Any]]:
    return [
        sa.Column("model", sa.Text(), nullable=False, primary_key=key),
        sa.Column("version", sa.Integer(), nullable=False, primary_key=key, autoincrement=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False, primary_key=key),
        sa.Column("priority", sa.Text(), nullable=False, primary_key=key),
    ]


def _fair_shares() -> None:
    """What each flow was given, and the ends of jobs that are not yet counted."""
    op.create_table(
        "fair_shares",
        *_flow(key=True),
        _number("virtual", "0"),
        sa.Column("fill", sa.Double(), nullable=True),
    )
    op.create_table(
        "settlements",
        *_flow(key=False),
        sa.Column("charged", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("max_tokens", sa.Integer(), nullable=False),
        sa.Column("service_s", sa.Double(), nullable=True),
    )
    # Every row lives for less than a second.
    op.execute("ALTER TABLE settlements SET (autovacuum_vacuum_scale_factor = 0, "
               "autovacuum_vacuum_threshold = 5000)")  # fmt: skip


def _models() -> None:
    """The clock of each model version, and those that an operator paused."""
    op.create_table(
        "model_clocks",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        _number("floor", "0"),
        _number("last", "0"),
        sa.Column("slot_tokens_per_s", sa.Double(), nullable=True),
    )
    op.create_table(
        "paused_models",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column(
            "paused_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
    )


def downgrade() -> None:
    """Takes all of it back; release goes by rank again."""
    for table in ("paused_models", "model_clocks", "settlements", "fair_shares"):
        op.drop_table(table)
    for name, rows in (
        ("ix_jobs_waiting", WAITING),
        ("ix_jobs_released", RELEASED),
        ("ix_jobs_suspect", SUSPECT),
    ):
        _index(name, [*MODEL, "rank"], rows)
    op.drop_column("jobs", "charged")
    op.drop_column("jobs", "floor")
    op.drop_column("jobs", "turn")
    op.drop_column("tenants", "weight")
