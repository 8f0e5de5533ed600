"""What explanations and replays by filter look like on the wire."""

from typing import Literal

from pydantic import Field

from api.result_schemas import Answer
from jobs.states import State


class ReasonAnswer(Answer):
    """Why: a stable code (docs/operations.md says what to do), and a sentence."""

    code: str
    message: str


class PositionAnswer(Answer):
    """Jobs that go before it as things stand. `more`: at least so many."""

    ahead: int
    more: bool
    higher_priority: int
    own: int = Field(description="of the same tenant, in its class or a lower one")
    other_tenants: int = Field(description="by their shares, in its class or a lower one")


class IntervalAnswer(Answer):
    """A point in time as an interval (RFC 3339, UTC). All null if it cannot be
    known, and then `unknown` is the reason's code; a null `latest` alone means
    that nothing bounds it. What has happened has three equal times."""

    earliest: str | None
    expected: str | None
    latest: str | None
    unknown: str | None


class ExplainAnswer(Answer):
    """Where a job stands, when it will run, and why not yet. The first reason decides."""

    id: str
    object: Literal["explanation"]
    status: State
    model: str
    batch: str | None = Field(description="the batch whose line it is")
    as_of: str
    position: PositionAnswer | None = Field(description="of a waiting job")
    start: IntervalAnswer
    finish: IntervalAnswer
    reasons: list[ReasonAnswer]


class ReplayedAnswer(Answer):
    """A finished job and the new one; null in a dry run."""

    id: str
    new_id: str | None


class ReplayAnswer(Answer):
    """What was replayed, or would be. `more`: ask again, there may be others."""

    object: Literal["replay"]
    dry_run: bool
    data: list[ReplayedAnswer]
    more: bool
