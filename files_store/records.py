"""The tables of files: what there is, what comes in parts, and what no row speaks for."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.records import NOW, Moment


class FileRecord(Base):
    """A file of a tenant. Erased: the row stays as a tombstone, its name is gone too."""

    __tablename__ = "files"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Uuid)
    # Where its bytes lie: new for each writing, so that two writers never meet.
    content_id: Mapped[UUID] = mapped_column(Uuid)
    purpose: Mapped[str] = mapped_column(Text)
    filename: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    erased_at: Mapped[datetime | None] = mapped_column(Moment)

    __table_args__ = (
        CheckConstraint("erased_at IS NOT NULL OR sha256 IS NOT NULL", name="live_has_sha256"),
        Index("ix_files_tenant", "tenant_id", "id", postgresql_where=text("erased_at IS NULL")),
        Index("ix_files_age", "tenant_id", "created_at",
              postgresql_where=text("erased_at IS NULL")),
        Index("ix_files_expiring", "expires_at",
              postgresql_where=text("erased_at IS NULL AND expires_at IS NOT NULL")),
    )  # fmt: skip


class LooseContentRecord(Base):
    """Bytes that no file speaks for: being written, or to be taken away (`doomed`)."""

    __tablename__ = "loose_contents"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Uuid)
    since: Mapped[datetime] = mapped_column(Moment, server_default=NOW, index=True)
    doomed: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        Index("ix_loose_contents_doomed", "id", postgresql_where=text("doomed")),
    )  # fmt: skip


class UploadRecord(Base):
    """A file that comes in parts; `file_id` once it is complete."""

    __tablename__ = "uploads"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Uuid)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    purpose: Mapped[str] = mapped_column(Text)
    filename: Mapped[str] = mapped_column(Text)
    mime_type: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    expires_after_s: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    # If it is not complete by then.
    expires_at: Mapped[datetime] = mapped_column(Moment)
    file_id: Mapped[UUID | None] = mapped_column(Uuid)

    __table_args__ = (
        CheckConstraint(
            "state IN ('pending','completed','cancelled','expired')", name="state_known"
        ),
        Index("ix_uploads_pending", "expires_at", postgresql_where=text("state = 'pending'")),
        Index("ix_uploads_file", "file_id", postgresql_where=text("file_id IS NOT NULL")),
    )


class UploadPartRecord(Base):
    """A piece of an upload; gone with its bytes when the upload ends."""

    __tablename__ = "upload_parts"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("uploads.id"), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
