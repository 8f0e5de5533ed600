"""What the routes of batches answer; the shapes of `openai.types.Batch` (3.51)."""

from typing import Literal

from pydantic import Field

from api.openai.answers import ResponseUsage
from api.result_schemas import Answer
from jobs.batches.states import BatchState


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


class BatchList(Answer):
    """A page of batches, newest first."""

    object: Literal["list"]
    data: list[BatchAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool
