"""Scopes and last use of keys, limits of tenants, usage by day, the audit log."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Every key could list models, and one with `admin` could pause them: so it stays.
KEEP_WHAT_THEY_COULD = """
UPDATE api_keys SET scopes = scopes
  || CASE WHEN 'models:read' = ANY (scopes) THEN '{}'::text[] ELSE '{models:read}' END
  || CASE WHEN 'admin' = ANY (scopes) AND NOT 'models:write' = ANY (scopes)
          THEN '{models:write}'::text[] ELSE '{}' END
"""

# The log is added to and read, by whoever reaches the database too.
GUARD = """
CREATE FUNCTION guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
    USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
TRIGGERS = """
CREATE TRIGGER guard_audit_log BEFORE UPDATE OR DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION guard_audit_log();
CREATE TRIGGER guard_audit_log_whole BEFORE TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION guard_audit_log();
"""

# 61 slots of a second: whatever 60 seconds one looks at lie within them.
SLOTS = "array_fill(0::int8, ARRAY[61])"


def upgrade() -> None:
    """Adds all of it; no row of `jobs` is touched."""
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True)))
    op.execute(KEEP_WHAT_THEY_COULD)
    # Nullable, and last: a settlement of a process of the version before has neither.
    op.add_column("settlements", sa.Column("state", sa.Text()))
    op.add_column("settlements", sa.Column("ended_on", sa.Date()))
    _usage()
    _quotas()
    _audit()


def _count(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def _usage() -> None:
    op.create_table(
        "usage_days",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        *[_count(state) for state in ("succeeded", "failed", "cancelled", "expired")],
        _count("prompt_tokens"),
        _count("completion_tokens"),
    )


def _quotas() -> None:
    limits = ("requests_per_minute", "tokens_per_minute", "queued_jobs", "queued_tokens",
              "storage_bytes")  # fmt: skip
    op.create_table(
        "tenant_quotas",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=True) for name in limits],
        _count("window_s"),
        *[
            sa.Column(
                name, postgresql.ARRAY(sa.BigInteger()), server_default=sa.text(SLOTS),
                nullable=False,
            )
            for name in ("window_requests", "window_tokens")
        ],
        *[
            _count(name)
            for name in ("folded_jobs", "folded_tokens", "admitted_jobs", "admitted_tokens")
        ],
        sa.Column("folded_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_tenant_quotas_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_quotas")),
    )  # fmt: skip
    # A row of a busy tenant is written with every request: room to do so in place.
    op.execute(
        "ALTER TABLE tenant_quotas SET (fillfactor = 25, "
        "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
    )


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("actor IN ('key', 'operator')", name=op.f("ck_audit_log_actor_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_tenant", "audit_log", ["tenant_id", "id"])
    op.execute(GUARD)
    op.execute(TRIGGERS)


def downgrade() -> None:
    """Takes it back, with what was logged and counted; keys keep their scopes' names."""
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION guard_audit_log()")
    op.drop_table("tenant_quotas")
    op.drop_table("usage_days")
    op.drop_column("settlements", "ended_on")
    op.drop_column("settlements", "state")
    op.drop_column("api_keys", "last_used_at")
