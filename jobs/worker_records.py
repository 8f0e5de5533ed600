"""The table of workers and their leases; written by `jobs.leases` alone."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.records import NOW, Moment


class WorkerRecord(Base):
    """One incarnation of a worker and its lease. A restarted worker is a new row."""

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    # The start of the process it lives in: its parent ends all leases of a dead child.
    process_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    device: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    slots: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    heartbeat_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    lease_until: Mapped[datetime] = mapped_column(Moment)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)
    # Seen dead by its parent; a lease that only ran out proves no crash.
    died: Mapped[bool] = mapped_column(server_default=text("false"))
    exit_code: Mapped[int | None] = mapped_column(Integer)
    # When it had ended its first job in peace: it is no part of a crash loop.
    proven_at: Mapped[datetime | None] = mapped_column(Moment)
    stale_writes: Mapped[int] = mapped_column(BigInteger, server_default="0")

    __table_args__ = (
        CheckConstraint("state IN ('loading','ready','draining','ended')", name="state_known"),
        Index("ix_workers_live", "model", "version", postgresql_where=text("ended_at IS NULL")),
        Index("ix_workers_died", "model", "version", "ended_at", postgresql_where=text("died")),
    )
