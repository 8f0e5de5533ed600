"""What passes between the Task Manager and its callers: frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.states import Priority, State


@dataclass(frozen=True, slots=True)
class Times:
    """When a job may and must run. `expires_after_s` bounds waiting only,
    `deadline` also ends it while it runs; `estimate_s` is how long it may take,
    by which much its rank lies before its deadline."""

    run_at: datetime | None = None
    expires_after_s: float | None = None
    deadline: datetime | None = None
    estimate_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that the Request Router has checked and resolved."""

    id: UUID
    tenant_id: UUID
    task: str
    model: str
    version: int
    priority: Priority
    client_address: str
    input: dict[str, Any]
    parameters: dict[str, Any]
    labels: dict[str, str]
    prompt_tokens: int
    max_tokens: int
    times: Times = Times()
    max_attempts: int = 3
    stream: bool = False
    # What its route repeats of the request in every answer; None for native jobs.
    asked: dict[str, Any] | None = None
    # Where its end is told, as the outbox reads it (`jobs.webhooks.urls.of_job`).
    webhook: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's Idempotency-Key and the hash of the body it came with."""

    key: str
    body_sha256: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """A durable job. `submitted_at` is None if it was there before this call."""

    id: UUID
    submitted_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FlowKey:
    """The work of one tenant in one class, for a model version."""

    tenant_id: UUID
    priority: Priority


@dataclass(frozen=True, slots=True)
class Released:
    """Jobs that were let through, best first. `backlog`: others have been
    released for a while and nobody took them, so all slots are taken and no
    bell is needed. `unsure`: more may belong here. `crowded`: so many flows wait
    that not all were looked at. `virtual`: where the flows looked at now stand;
    None for one that had nothing to give."""

    ids: list[UUID]
    backlog: bool = False
    unsure: bool = False
    crowded: bool = False
    virtual: Mapping[FlowKey, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that this worker holds until it finishes, gives back or loses it."""

    id: UUID
    tenant_id: UUID
    task: str
    attempt: int
    input: dict[str, Any]
    parameters: dict[str, Any]
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. `first_token_age_s`: seconds since the first token.
    `details` goes to the result as it is. A `retryable` failure is tried again
    while the job has attempts left."""

    id: UUID
    attempt: int
    state: State
    finish_reason: str | None = None
    text: str | None = None
    completion_tokens: int = 0
    first_token_age_s: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    retryable: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeldRow:
    """What Postgres says of a job that a worker holds."""

    attempt: int
    cancel_requested: bool
    overdue: bool
