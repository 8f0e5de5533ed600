"""The tables of batches and of their lines.

A batch's row says how far it was read and what it waits for; how many of its lines
have ended is asked of the jobs themselves, at every read, and kept nowhere.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.records import NOW, Moment

_OPEN = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"


class BatchRecord(Base):
    """One batch. A housekeeper holds it (`taken_by`) while it reads or writes files."""

    __tablename__ = "batches"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Uuid)
    endpoint: Mapped[str] = mapped_column(Text)
    # None for a batch whose lines are appended and come from no file.
    input_file_id: Mapped[UUID | None] = mapped_column(Uuid)
    status: Mapped[str] = mapped_column(Text, server_default="validating")
    completion_window_s: Mapped[int] = mapped_column(Integer)
    # As the client wrote it, because every answer repeats it: "24h".
    completion_window: Mapped[str] = mapped_column(Text)
    priority: Mapped[str] = mapped_column(Text, server_default="batch")
    # The client's "metadata"; that name is taken in declarative classes.
    labels: Mapped[dict[str, str]] = mapped_column(JSONB, server_default="{}")
    client_address: Mapped[str] = mapped_column(Text)
    output_expires_after_s: Mapped[int | None] = mapped_column(Integer)

    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    in_progress_at: Mapped[datetime | None] = mapped_column(Moment)
    finalizing_at: Mapped[datetime | None] = mapped_column(Moment)
    completed_at: Mapped[datetime | None] = mapped_column(Moment)
    failed_at: Mapped[datetime | None] = mapped_column(Moment)
    cancelling_at: Mapped[datetime | None] = mapped_column(Moment)
    cancelled_at: Mapped[datetime | None] = mapped_column(Moment)
    # The end of the window, and when it was found to be over.
    expires_at: Mapped[datetime] = mapped_column(Moment)
    expired_at: Mapped[datetime | None] = mapped_column(Moment)

    # Requests in all, known once the file was counted; of those taken in, how many
    # were refused. Written in the transaction that adds the rows they count.
    lines: Mapped[int] = mapped_column(Integer, server_default="0")
    refused: Mapped[int] = mapped_column(Integer, server_default="0")
    # How far the file was taken in: bytes, and lines as an editor counts them.
    intake_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    intake_line: Mapped[int] = mapped_column(Integer, server_default="0")
    # Set once every line has its row; only then can a batch be over.
    intake_ended_at: Mapped[datetime | None] = mapped_column(Moment)

    # Why the file as a whole failed: a list of {code, message, line, param}.
    error: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    output_file_id: Mapped[UUID | None] = mapped_column(Uuid)
    error_file_id: Mapped[UUID | None] = mapped_column(Uuid)
    # Of the lines that succeeded; summed up when the batch ends.
    prompt_tokens: Mapped[int | None] = mapped_column(BigInteger)
    completion_tokens: Mapped[int | None] = mapped_column(BigInteger)

    taken_by: Mapped[UUID | None] = mapped_column(Uuid)
    taken_until: Mapped[datetime | None] = mapped_column(Moment)

    # Its waiting lines are held; more lines may be appended; equal lines share a job.
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    open: Mapped[bool] = mapped_column(server_default=text("false"))
    dedupe: Mapped[bool] = mapped_column(server_default=text("false"))
    # The batch whose failed lines this one runs again, and what every body gets instead.
    retry_of: Mapped[UUID | None] = mapped_column(Uuid)
    overrides: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    # Only counted and checked; `report` is what came out of that.
    dry_run: Mapped[bool] = mapped_column(server_default=text("false"))
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    # Its waiting lines do not all stand yet as `paused` and `priority` say.
    unsettled: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        CheckConstraint(
            "status IN ('validating','in_progress','finalizing','completed','failed','expired',"
            "'cancelling','cancelled')",
            name="status_known",
        ),
        Index("ix_batches_tenant", "tenant_id", "id"),
        # What the housekeeper looks for; ended batches are not walked.
        Index("ix_batches_unfinished", "id", postgresql_where=text(_OPEN)),
        Index("ix_batches_unsettled", "id", postgresql_where=text("unsettled OR paused")),
    )


class BatchLineRecord(Base):
    """One request of a batch. It has a job, or it was refused and has an `error`."""

    __tablename__ = "batch_lines"

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    # As an editor counts; blank lines are none.
    line: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    # None where the line has none that could be used.
    custom_id: Mapped[str | None] = mapped_column(Text)
    # A line like an earlier one (`same_as`) has that one's job.
    job_id: Mapped[UUID | None] = mapped_column(Uuid)
    # {"response": {...}} as the front door would answer, or {"error": {...}} of the line itself.
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    same_as: Mapped[int | None] = mapped_column(Integer)
    # By which a later line finds that it is like this one; of batches with `dedupe`.
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)

    __table_args__ = (
        CheckConstraint("(job_id IS NULL) <> (error IS NULL)", name="job_or_error"),
        Index("uq_batch_lines_custom_id", "batch_id", "custom_id", unique=True),
        Index("ix_batch_lines_job_id", "job_id", postgresql_where=text("job_id IS NOT NULL")),
        Index("ix_batch_lines_same", "batch_id", postgresql_where=text("same_as IS NOT NULL")),
        Index("ix_batch_lines_digest", "batch_id", "digest",
              postgresql_where=text("digest IS NOT NULL")),
    )  # fmt: skip


class BatchEndingRecord(Base):
    """A line that has ended, and the transaction that it did so in: two triggers add
    it, whatever ends the line, once. Read by `jobs.batches.endings`, in this order."""

    __tablename__ = "batch_endings"

    batch_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    txid: Mapped[int] = mapped_column(
        BigInteger,
        primary_key=True,
        autoincrement=False,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
    )
    line: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class AppendedLineRecord(Base):
    """A line that came in no file, as it was written; user content, erasable."""

    __tablename__ = "appended_lines"

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    line: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    request: Mapped[bytes] = mapped_column(LargeBinary)
