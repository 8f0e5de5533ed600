"""What the answers about webhooks look like."""

from typing import Literal

from pydantic import Field

from api.result_schemas import Answer


class WebhookAnswer(Answer):
    """A receiver of events. `secret` stands in the answers to its creation and to a
    rotation only."""

    id: str
    object: Literal["webhook"]
    url: str
    events: list[str]
    description: str
    created_at: str
    status: Literal["enabled", "disabled"]
    disabled_at: str | None
    disabled_reason: str | None = Field(
        description="`gone`: it answered 410; `failing`: no attempt succeeded for days"
    )
    failures: int = Field(description="attempts that failed since the last one that did not")
    failing_since: str | None
    old_secret_until: str | None = Field(description="until then the secret before signs as well")
    secret: str | None = None


class WebhookList(Answer):
    """A tenant's webhooks."""

    object: Literal["list"]
    data: list[WebhookAnswer]


class SigningSecretAnswer(Answer):
    """What signs the webhooks of single jobs."""

    object: Literal["signing_secret"]
    secret: str
    old_secret_until: str | None


class DeliveryError(Answer):
    """Why an attempt failed; nothing in it is the receiver's text."""

    code: str
    message: str


class DeliveryAttempt(Answer):
    """One request to a receiver."""

    at: str
    duration_ms: int
    http_status: int | None
    error: DeliveryError | None


class DeliveryAnswer(Answer):
    """One event for one receiver, with its latest attempts, oldest first."""

    id: str
    object: Literal["webhook.delivery"]
    webhook: str | None = Field(description="null if the job brought its own URL")
    event: str = Field(description="the `webhook-id` that every attempt carries")
    type: str
    subject: str = Field(description="the job, response or batch")
    status: Literal["pending", "delivered", "failed"]
    created_at: str
    ended_at: str | None
    next_attempt_at: str | None
    attempts: list[DeliveryAttempt]


class DeliveryList(Answer):
    """A page of deliveries, newest first."""

    object: Literal["list"]
    data: list[DeliveryAnswer]
    next_cursor: str | None


class DeliveryReplayAnswer(Answer):
    """How many deliveries are due again; `more` if as many as one call takes."""

    object: Literal["webhook.replay"]
    replayed: int
    more: bool
