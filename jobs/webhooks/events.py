"""What webhooks tell of, by the names that clients subscribe to."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from jobs.fields import Strict

LONGEST_URL = 2_048


class JobEvent(StrEnum):
    """The end of a job, whatever route it came by."""

    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    EXPIRED = "job.expired"


class ResponseEvent(StrEnum):
    """The end of a background response of OpenAI's API."""

    COMPLETED = "response.completed"
    FAILED = "response.failed"
    CANCELLED = "response.cancelled"
    INCOMPLETE = "response.incomplete"


class BatchEvent(StrEnum):
    """The end of a batch of OpenAI's API."""

    COMPLETED = "batch.completed"
    FAILED = "batch.failed"
    CANCELLED = "batch.cancelled"
    EXPIRED = "batch.expired"


# What `test` sends; every endpoint gets it, whatever it subscribed to.
TEST_EVENT = "webhook.test"
EVENTS: tuple[str, ...] = tuple(
    event.value for kind in (ResponseEvent, BatchEvent, JobEvent) for event in kind
)


class JobWebhook(Strict):
    """Where the end of one job is told; signed with the tenant's signing secret."""

    url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
    events: Annotated[
        list[Annotated[JobEvent, Field(strict=False)]], Field(min_length=1, max_length=8)
    ] = Field(default=list(JobEvent))
