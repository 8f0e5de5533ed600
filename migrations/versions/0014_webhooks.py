"""Webhooks: endpoints, secrets, deliveries and attempts; the webhook of a single job."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")
_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Adds columns (no row is rewritten) and tables."""
    op.add_column(
        "jobs",
        sa.Column("has_webhook", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("job_inputs", sa.Column("webhook", postgresql.JSONB(), nullable=True))
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        *_secrets(),
        _moment("created_at", now=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        _moment("failing_since"),
        _moment("disabled_at"),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
    )
    op.create_index("ix_webhook_endpoints_tenant_id", "webhook_endpoints", ["tenant_id"])
    op.create_table(
        "webhook_signing_secrets",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), primary_key=True),
        *_secrets(),
    )
    op.create_table(
        "webhook_outbox",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        _moment("at", now=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("of_job", postgresql.JSONB(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
    )
    _deliveries()
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column(
            "delivery_id",
            sa.Uuid(),
            sa.ForeignKey("webhook_deliveries.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
    )
    op.create_index("ix_webhook_attempts_delivery_id", "webhook_attempts", ["delivery_id"])


def _deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("lane", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        _moment("created_at", now=True),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        _moment("next_at", now=True),
        sa.Column(
            "give_up_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp() + interval '24 hours'"),
            nullable=False,
        ),
        sa.Column("lease", sa.Uuid(), nullable=True),
        _moment("ended_at"),
        sa.CheckConstraint(
            "state IN ('pending','delivered','failed')",
            name=op.f("ck_webhook_deliveries_state_known"),
        ),
    )
    table = "webhook_deliveries"
    op.create_index(f"ix_{table}_due", table, ["lane", "next_at"], postgresql_where=_PENDING)
    op.create_index(
        f"ix_{table}_held", table, ["lane"], postgresql_where=sa.text("lease IS NOT NULL")
    )
    op.create_index(f"ix_{table}_giving_up", table, ["give_up_at"], postgresql_where=_PENDING)
    op.create_index(f"ix_{table}_endpoint", table, ["endpoint_id", "id"])
    op.create_index(f"ix_{table}_subject", table, ["tenant_id", "subject"])
    op.create_index(f"ix_{table}_ended", table, ["ended_at"])


def _secrets() -> list[sa.Column[object]]:
    return [
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=True),
        _moment("old_until"),
    ]


def _moment(name: str, *, now: bool = False) -> sa.Column[object]:
    default = _NOW if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)


def downgrade() -> None:
    """Drops them."""
    for table in (
        "webhook_attempts",
        "webhook_deliveries",
        "webhook_outbox",
        "webhook_signing_secrets",
        "webhook_endpoints",
    ):
        op.drop_table(table)
    op.drop_column("job_inputs", "webhook")
    op.drop_column("jobs", "has_webhook")
