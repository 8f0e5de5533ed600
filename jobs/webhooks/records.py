"""The tables of webhooks.

What is to be told passes through the outbox; a delivery is one event for one
receiver, due until it has ended and a line of the log after that.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.records import NOW, Moment


class EndpointRecord(Base):
    """A tenant's receiver of events. The secrets are sealed if a key is set
    (`jobs.webhooks.secrets`)."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str] = mapped_column(Text, server_default="")
    secret: Mapped[str] = mapped_column(Text)
    # After a rotation the one before, which still signs until then.
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_until: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    # Attempts that failed since the last one that did not, and since when.
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    failing_since: Mapped[datetime | None] = mapped_column(Moment)
    disabled_at: Mapped[datetime | None] = mapped_column(Moment)
    disabled_reason: Mapped[str | None] = mapped_column(Text)


class SigningSecretRecord(Base):
    """What signs the webhooks of a tenant's single jobs."""

    __tablename__ = "webhook_signing_secrets"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    secret: Mapped[str] = mapped_column(Text)
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_until: Mapped[datetime | None] = mapped_column(Moment)


# What ended and is to be told: of a job its id, of anything else its type and its id as
# clients know it. Taken out within a second; it has no key: nobody looks for one row.
outbox = Table(
    "webhook_outbox",
    Base.metadata,
    Column("tenant_id", Uuid, nullable=False),
    Column("at", Moment, server_default=NOW, nullable=False),
    Column("job_id", Uuid, nullable=True),
    Column("of_job", JSONB, nullable=True),
    Column("type", Text, nullable=True),
    Column("subject", Text, nullable=True),
)


class DeliveryRecord(Base):
    """One event for one receiver. `next_at` is when it is due; while a process
    holds it (`lease`), when it is due again should that process be gone."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Uuid)
    # Of an endpoint, or else the URL that a single job brought.
    endpoint_id: Mapped[UUID | None] = mapped_column(Uuid)
    url: Mapped[str | None] = mapped_column(Text)
    # Receivers that share a lane wait for each other: an endpoint, or one
    # tenant's URLs of the same host and port.
    lane: Mapped[UUID] = mapped_column(Uuid)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    type: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    # Attempts since it was made, or replayed.
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    next_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    give_up_at: Mapped[datetime] = mapped_column(
        Moment, server_default=text("clock_timestamp() + interval '24 hours'")
    )
    lease: Mapped[UUID | None] = mapped_column(Uuid)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)

    __table_args__ = (
        CheckConstraint("state IN ('pending','delivered','failed')", name="state_known"),
        Index("ix_webhook_deliveries_due", "lane", "next_at",
              postgresql_where=text("state = 'pending'")),
        Index("ix_webhook_deliveries_held", "lane", postgresql_where=text("lease IS NOT NULL")),
        Index("ix_webhook_deliveries_giving_up", "give_up_at",
              postgresql_where=text("state = 'pending'")),
        Index("ix_webhook_deliveries_endpoint", "endpoint_id", "id"),
        Index("ix_webhook_deliveries_subject", "tenant_id", "subject"),
        Index("ix_webhook_deliveries_ended", "ended_at"),
    )  # fmt: skip


class AttemptRecord(Base):
    """One request to a receiver, and how it went. Nothing that it said is kept
    but the number of its answer."""

    __tablename__ = "webhook_attempts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(
        ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[datetime] = mapped_column(Moment)
    duration_ms: Mapped[int] = mapped_column(Integer)
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    error_code: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
