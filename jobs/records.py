"""The tables of jobs, tenants, keys and workers.

`jobs` is narrow: what was asked and what came out stand in tables of their
own, so that content can be erased while the ledger stays, and so that the hot
rows of the queue share few pages. Only `jobs.task_manager` writes job rows.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.notable_events import NOTABLE

Moment = DateTime(timezone=True)
NOW = text("clock_timestamp()")


class TenantRecord(Base):
    """Who jobs and keys belong to."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    # Its share of a busy model, beside the others'.
    weight: Mapped[float] = mapped_column(Double, server_default="1")
    # How long results and files are kept; null for ever.
    retain_results_s: Mapped[int | None] = mapped_column(BigInteger)
    retain_files_s: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("weight > 0", name="weight_positive"),)


class KeyRecord(Base):
    """An API key: its hash, never the key."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    # Give or take a minute (`api.key_uses`).
    last_used_at: Mapped[datetime | None] = mapped_column(Moment)


class JobRecord(Base):
    """One job. `attempt` is the fence: it grows at every claim."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Uuid)
    # The finished job whose input this one runs again.
    replay_of: Mapped[UUID | None] = mapped_column(Uuid)
    task: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text, server_default="queued")
    priority: Mapped[str] = mapped_column(Text)
    client_address: Mapped[str] = mapped_column(Text)
    rank: Mapped[datetime] = mapped_column(Moment)
    submitted_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    released_at: Mapped[datetime | None] = mapped_column(Moment)
    # The model's virtual time when the job came or was due (`jobs.shares.fair_share`).
    floor: Mapped[float | None] = mapped_column(Double)
    # Given at release: the order in which released jobs are claimed, and the
    # tokens that the job's flow was charged.
    turn: Mapped[float] = mapped_column(Double, server_default="0")
    charged: Mapped[int] = mapped_column(Integer, server_default="0")
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    first_token_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)
    # Not before; a retry's pause sets it too.
    run_at: Mapped[datetime | None] = mapped_column(Moment)
    # Bounds waiting only; `deadline` also ends a running job.
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    deadline: Mapped[datetime | None] = mapped_column(Moment)
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    max_attempts: Mapped[int] = mapped_column(SmallInteger, server_default="3")
    # Attempts that ended in a retryable error; crashes are charged apart.
    errors: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    # Jobs that were together when their worker died, until they are acquitted.
    suspect_group: Mapped[UUID | None] = mapped_column(Uuid)
    worker_id: Mapped[UUID | None] = mapped_column(Uuid)
    # Its client asked to read the text while it grows (`bells.token_stream`).
    stream: Mapped[bool] = mapped_column(server_default=text("false"))
    # Its input names a webhook of its own.
    has_webhook: Mapped[bool] = mapped_column(server_default=text("false"))
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    # The batch whose line it is (`jobs.batches`).
    batch_id: Mapped[UUID | None] = mapped_column(Uuid)
    # It waits, and is not released: its batch is paused.
    held: Mapped[bool] = mapped_column(server_default=text("false"))
    prompt_tokens: Mapped[int] = mapped_column(Integer)
    max_tokens: Mapped[int] = mapped_column(Integer)
    completion_tokens: Mapped[int | None] = mapped_column(Integer)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    # Its input and result are gone; the rest of it stays.
    erased_at: Mapped[datetime | None] = mapped_column(Moment)

    __table_args__ = (
        CheckConstraint(
            "state IN ('queued','running','succeeded','failed','cancelled','expired')",
            name="state_known",
        ),
        CheckConstraint("state <> 'running' OR worker_id IS NOT NULL", name="running_has_worker"),
        CheckConstraint(
            "erased_at IS NULL OR state IN ('succeeded','failed','cancelled','expired')",
            name="erased_has_ended",
        ),
        Index("ix_jobs_waiting", "model", "version", "tenant_id", "priority", "rank",
              postgresql_where=text("state = 'queued' AND released_at IS NULL AND NOT held")),
        Index("ix_jobs_released", "model", "version", "turn",
              postgresql_where=text("state = 'queued' AND released_at IS NOT NULL")),
        Index("ix_jobs_suspect", "model", "version", "turn",
              postgresql_where=text("state = 'queued' AND suspect_group IS NOT NULL")),
        Index("ix_jobs_running", "worker_id", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_expiring", "expires_at",
              postgresql_where=text("state = 'queued' AND expires_at IS NOT NULL")),
        # How many lines of a batch are where: counted in the index alone.
        Index("ix_jobs_batch", "batch_id", "state", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_jobs_held", "batch_id", postgresql_where=text("held AND state = 'queued'")),
        Index("ix_jobs_tenant", "tenant_id", "id"),
        Index("ix_jobs_tenant_state", "tenant_id", "state", "id"),
        Index("ix_jobs_not_erased", "tenant_id", "finished_at",
              postgresql_where=text("finished_at IS NOT NULL AND erased_at IS NULL")),
        Index("ix_jobs_replay_of", "replay_of", postgresql_where=text("replay_of IS NOT NULL")),
    )  # fmt: skip


class InputRecord(Base):
    """What a job asks for; user content, erasable."""

    __tablename__ = "job_inputs"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    input: Mapped[dict[str, Any]] = mapped_column(JSONB)
    # json keeps the order of keys, which is that of a JSON schema's properties in the answer.
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    # The client's "metadata"; that name is taken in declarative classes.
    labels: Mapped[dict[str, str]] = mapped_column(JSONB)
    # What its route repeats of the request in every answer; null for native jobs.
    asked: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    # Where its end is told (`jobs.webhooks.events.JobWebhook`), and in which lane.
    webhook: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class ResultRecord(Base):
    """What came out, written once by the winning attempt; user content, erasable."""

    __tablename__ = "job_results"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    text: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    # Of some jobs: logprobs, and all completions if there are several.
    details: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class EventRecord(Base):
    """What happened to a job, in order; ids and small scalars, no content."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), index=True)
    at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    kind: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    worker_id: Mapped[UUID | None] = mapped_column(Uuid)
    reason: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index("ix_job_events_notable", "id", postgresql_where=text(NOTABLE)),)


class IdempotencyRecord(Base):
    """Which job a tenant's Idempotency-Key made, and from which body."""

    __tablename__ = "idempotency_keys"

    tenant_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    body_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    job_id: Mapped[UUID] = mapped_column(Uuid)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW, index=True)
