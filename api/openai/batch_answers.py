"""What the routes of batches answer; the shapes of `openai.types.Batch` (3.51)."""

from typing import Any, Literal

from pydantic import Field

from api.openai.answers import ResponseUsage
from api.result_schemas import Answer
from jobs.batches.states import BatchState
from jobs.states import Priority


class RequestCounts(Answer):
    """Lines, counted at this moment. Those that are neither completed nor failed are
    still to come."""

    total: int
    completed: int
    failed: int = Field(description="refused, failed, cancelled or expired")


class BatchErrorAnswer(Answer):
    """Why the file as a whole was of no use."""

    code: str
    message: str
    line: int | None
    param: str | None


class BatchErrors(Answer):
    """All of them."""

    object: Literal["list"]
    data: list[BatchErrorAnswer]


class DryRunModel(Answer):
    """What lines for one model version ask for, and when they would have ended."""

    model: str
    lines: int
    prompt_tokens: int
    max_tokens: int
    earliest_s: float | None
    expected_s: float | None
    latest_s: float | None
    unknown: str | None = Field(description="why that cannot be known: no_worker, paused, ...")


class DryRunReport(Answer):
    """What a batch would be. `max_tokens` are of completion, at most."""

    lines: int
    refused: int
    jobs: int = Field(description="runs: fewer than lines where equal ones share one")
    prompt_tokens: int
    max_tokens: int
    models: list[DryRunModel]
    predicted_s: float | None = Field(description="seconds until all would have ended, about")
    quota: dict[str, Any] | None = Field(description="what the tenant's limits leave")
    errors: list[BatchErrorAnswer] = Field(description="of the first refused lines")


class BatchAnswer(Answer):
    """A batch. Times are in seconds since 1970, null for what has not happened."""

    id: str
    object: Literal["batch"]
    endpoint: str
    errors: BatchErrors | None
    input_file_id: str | None
    completion_window: str
    status: BatchState
    output_file_id: str | None = Field(description="the answers, one in a line")
    error_file_id: str | None = Field(description="what became of all other lines")
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: ResponseUsage | None = Field(description="of the answers, once it has ended")
    metadata: dict[str, str] | None
    priority: Priority = Field(description="LMaaS: the class of its lines")
    paused: bool = Field(description="LMaaS: no other line begins until it is resumed")
    open: bool = Field(description="LMaaS: lines can be appended")
    dedupe: bool = Field(description="LMaaS: equal deterministic lines share a run")
    retry_of: str | None = Field(description="LMaaS: the batch whose failed lines these are")
    dry_run: DryRunReport | None = Field(description="LMaaS: what a dry run found out")


class BatchList(Answer):
    """A page of batches, newest first."""

    object: Literal["list"]
    data: list[BatchAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class LineAnswer(Answer):
    """A line that has ended, as the output files hold it, with its number and its state."""

    line: int
    status: str = Field(description="succeeded, failed, cancelled, expired or refused")
    id: str
    custom_id: str | None
    response: dict[str, Any] | None
    error: dict[str, Any] | None


class LineList(Answer):
    """Lines that have ended, in the order of the input, up to the first that has not.
    `done`: the batch is over and nothing follows."""

    object: Literal["list"]
    data: list[LineAnswer]
    has_more: bool = Field(description="more may be there at once, after the last line")
    done: bool
