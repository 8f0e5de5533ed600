"""Files on shared storage, uploads in parts, and the list of bytes that no row speaks for."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")


def _moment(name: str, *, nullable: bool = False, now: bool = False) -> "sa.Column[datetime]":
    default = _NOW if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    """Makes the tables."""
    _files()
    op.create_table(
        "loose_contents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        _moment("since", now=True),
        sa.Column("doomed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loose_contents")),
    )
    op.create_index(op.f("ix_loose_contents_since"), "loose_contents", ["since"])
    op.create_index(
        "ix_loose_contents_doomed", "loose_contents", ["id"], postgresql_where=sa.text("doomed")
    )
    _uploads()


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("content_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        _moment("created_at", now=True),
        _moment("expires_at", nullable=True),
        _moment("erased_at", nullable=True),
        sa.CheckConstraint(
            "erased_at IS NOT NULL OR sha256 IS NOT NULL", name=op.f("ck_files_live_has_sha256")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    live = "erased_at IS NULL"
    for name, columns, where in (
        ("ix_files_tenant", ["tenant_id", "id"], live),
        ("ix_files_age", ["tenant_id", "created_at"], live),
        ("ix_files_expiring", ["expires_at"], f"{live} AND expires_at IS NOT NULL"),
    ):
        op.create_index(name, "files", columns, postgresql_where=sa.text(where))


def _uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("expires_after_s", sa.BigInteger(), nullable=True),
        _moment("created_at", now=True),
        _moment("expires_at"),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending','completed','cancelled','expired')",
            name=op.f("ck_uploads_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(
        "ix_uploads_pending", "uploads", ["expires_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )  # fmt: skip
    op.create_index(
        "ix_uploads_file", "uploads", ["file_id"], postgresql_where=sa.text("file_id IS NOT NULL")
    )
    op.create_table(
        "upload_parts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        _moment("created_at", now=True),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("fk_upload_parts_upload_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_parts")),
    )
    op.create_index(op.f("ix_upload_parts_upload_id"), "upload_parts", ["upload_id"])


def downgrade() -> None:
    """Drops them; the bytes stay on the storage."""
    for table in ("upload_parts", "uploads", "loose_contents", "files"):
        op.drop_table(table)
