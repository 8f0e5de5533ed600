"""The tables of what tenants may do, did and used: limits, audit log, usage."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Integer,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.records import NOW, Moment

_SLOTS = text("array_fill(0::int8, ARRAY[61])")


class TenantQuotaRecord(Base):
    """A tenant's limits, and what of them is used; tenants without limits have no row.

    The first five are limits, null for none (`jobs.quotas`).
    """

    __tablename__ = "tenant_quotas"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    queued_jobs: Mapped[int | None] = mapped_column(BigInteger)
    queued_tokens: Mapped[int | None] = mapped_column(BigInteger)
    storage_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # What was admitted in each of the last 61 seconds, the newest first; that one is
    # `window_s`, in seconds since 1970.
    window_s: Mapped[int] = mapped_column(BigInteger, server_default="0")
    window_requests: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=_SLOTS)
    window_tokens: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=_SLOTS)
    # What waited when it was last counted, and what was admitted since.
    folded_jobs: Mapped[int] = mapped_column(BigInteger, server_default="0")
    folded_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    admitted_jobs: Mapped[int] = mapped_column(BigInteger, server_default="0")
    admitted_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    folded_at: Mapped[datetime | None] = mapped_column(Moment)


class UsageDayRecord(Base):
    """What ended on a day (UTC) for a tenant on a model version, and its tokens."""

    __tablename__ = "usage_days"

    tenant_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    succeeded: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cancelled: Mapped[int] = mapped_column(BigInteger, server_default="0")
    expired: Mapped[int] = mapped_column(BigInteger, server_default="0")
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    completion_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")


class AuditRecord(Base):
    """One change, who made it and from where; a trigger keeps rows as they are."""

    __tablename__ = "audit_log"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    # Whom it concerns; null for what belongs to the installation.
    tenant_id: Mapped[UUID | None] = mapped_column(Uuid)
    actor: Mapped[str] = mapped_column(Text)
    key_id: Mapped[UUID | None] = mapped_column(Uuid)
    address: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    target_kind: Mapped[str] = mapped_column(Text)
    target_id: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (
        CheckConstraint("actor IN ('key', 'operator')", name="actor_known"),
        Index("ix_audit_log_tenant", "tenant_id", "id"),
    )
