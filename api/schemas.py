"""What the answers look like: the source of the OpenAPI document's schemas.

Answers are built by `api.presentation`; a test holds them against these.
"""

from typing import Any, Literal

from pydantic import Field

from api.result_schemas import Answer, Result
from jobs.states import Priority, State


class ErrorDetail(Answer):
    """What went wrong: `code` is stable, `param` names the field at fault."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    code: str
    param: str | None
    earliest_finish: str | None = Field(
        default=None, description="of `deadline_unmeetable` alone: when it could end"
    )
    limit: str | None = Field(default=None, description="of 429 alone: the limit's name")
    job_id: str | None = Field(default=None, description="of `job_erased` alone")
    status: State | None = Field(default=None, description="of `job_erased` alone: how it ended")
    erased_at: str | None = Field(default=None, description="of `job_erased` alone")


class ErrorAnswer(Answer):
    """The one shape of all errors."""

    error: ErrorDetail


class Timings(Answer):
    """When it happened, in UTC (RFC 3339); null if it has not."""

    queued_at: str
    started_at: str | None
    first_token_at: str | None
    finished_at: str | None
    run_at: str | None = Field(description="not before; a retry's pause sets it too")
    expires_at: str | None = Field(description="if it still waits then, it expires")
    deadline: str | None = Field(description="ends it, waiting or running")
    time_to_first_token_s: float | None = Field(
        description="from queued_at to the first token of the attempt that ended; null before "
        "the end, or without a token"
    )
    inter_token_s: float | None = Field(
        description="mean time between tokens after the first, over all n completions, which "
        "run one after the other; null before the end, or with fewer than two tokens"
    )


class JobUrls(Answer):
    """Where the job is read and cancelled."""

    self: str
    cancel: str


class JobAnswer(Answer):
    """A job. `result` is there when it succeeded, or was cancelled with a
    partial text; lists leave it out."""

    id: str
    object: Literal["job"]
    status: State
    task: str
    model: str = Field(description="the pinned version, name@version")
    priority: Priority
    metadata: dict[str, str]
    attempt: int
    replay_of: str | None = Field(description="the finished job whose input this one repeats")
    batch: str | None = Field(description="the batch whose line it is")
    cancel_requested: bool
    erased_at: str | None = Field(
        description="since then metadata, result and error message are gone; only in lists"
    )
    result: Result | None
    error: ErrorDetail | None
    timings: Timings
    urls: JobUrls


class JobDeleted(Answer):
    """The job's content is gone; what it was, how it ended and what it used is not."""

    id: str
    object: Literal["job"]
    deleted: Literal[True]


class JobList(Answer):
    """A page of jobs, newest first."""

    object: Literal["list"]
    data: list[JobAnswer]
    next_cursor: str | None


class AttemptAnswer(Answer):
    """One run of a job: `outcome` is the state it led to, null while it runs."""

    attempt: int
    worker: str | None
    started_at: str
    ended_at: str | None
    outcome: State | None
    reason: str | None


class AttemptList(Answer):
    """A job's attempts, first to last."""

    object: Literal["list"]
    data: list[AttemptAnswer]


class KeyAnswer(Answer):
    """An API key; `key` is the key itself, in the answer to its creation only."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None = Field(description="give or take a minute")
    key: str | None = None


class KeyList(Answer):
    """A tenant's API keys."""

    object: Literal["list"]
    data: list[KeyAnswer]


class LiveAnswer(Answer):
    """The web process answers."""

    status: Literal["ok"]


class ReadyAnswer(Answer):
    """Whether jobs can be accepted, and what of the system is there."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, Any]
