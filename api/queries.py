"""What stands in a path or after its `?`, beside the bodies in `jobs.spec`."""

from functools import cache
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from jobs.states import State

# Postgres compares no text with NUL in it.
_STORABLE = r"^[^\x00]*$"


class Parameters(BaseModel):
    """Base of path and query schemas: strings in, and a schema that is made once."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema; flask-openapi3 asks for a query's with every request."""
        return _schema(cls, args, tuple(sorted(kwargs.items())))


@cache
def _schema(model: type[BaseModel], args: Any, kwargs: Any) -> dict[str, Any]:
    schema: dict[str, Any] = super(Parameters, model).model_json_schema(  # type: ignore[misc]
        *args, **dict(kwargs)
    )
    return schema


class JobPath(Parameters):
    """The id of a job."""

    job_id: str


class ModelPath(Parameters):
    """A model's name (its newest version), an alias, or name@version."""

    reference: str


class KeyPath(Parameters):
    """The id of an API key."""

    key_id: str


class JobQuery(Parameters):
    """How long to wait for the end of a job."""

    wait: float = Field(default=0, ge=0, le=60, allow_inf_nan=False, description="seconds")


class JobSelection(Parameters):
    """Which jobs are meant."""

    status: State | None = None
    task: str | None = Field(default=None, max_length=64, pattern=_STORABLE)
    model: str | None = Field(
        default=None, max_length=128, pattern=_STORABLE, description="name or name@version"
    )
    error_code: str | None = Field(default=None, max_length=64, pattern=_STORABLE)
    ended_since: AwareDatetime | None = Field(default=None, description="ended then or later")
    ended_until: AwareDatetime | None = Field(default=None, description="ended before then")
    worker: UUID | None = Field(default=None, description="ran on this worker, if only once")
    batch: str | None = Field(default=None, max_length=64, description="are lines of this batch")


class JobListQuery(JobSelection):
    """Which jobs to list, and which page."""

    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=64, description="`next_cursor` of a page")


class ReplayRequest(JobSelection):
    """Which finished jobs to run again as new ones. Jobs that were replayed
    before are passed over; up to `limit` at once, oldest first."""

    limit: int = Field(default=1_000, ge=1, le=1_000)
    dry_run: bool = Field(default=False, description="only say which")
