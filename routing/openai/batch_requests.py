"""The body of POST /v1/batches; compare `openai.types.batch_create_params` (3.51)."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from jobs.batches.limits import LONGEST_WINDOW_S
from jobs.fields import storable
from jobs.spec import Metadata, ShortText, Strict
from jobs.states import Priority
from routing.openai.endpoints import ENDPOINTS
from routing.openai.fields import UNSUPPORTED_VALUE

_DEEPEST = 16
_UNIT_S = {"m": 60, "h": 3_600, "d": 86_400}


def _served(endpoint: str) -> str:
    if endpoint not in ENDPOINTS:
        raise PydanticCustomError(
            UNSUPPORTED_VALUE, "batches are served for {known}", {"known": ", ".join(ENDPOINTS)}
        )
    return endpoint


def window_s(text: str) -> int:
    """Seconds of a window such as 24h, 90m or 7d."""
    return int(text[:-1]) * _UNIT_S[text[-1]]


def _bounded(window: str) -> str:
    if not 0 < window_s(window) <= LONGEST_WINDOW_S:
        raise PydanticCustomError("value_error", "from 1m to 30d")
    return window


Endpoint = Annotated[ShortText, AfterValidator(_served)]
Window = Annotated[str, Field(pattern=r"^[0-9]{1,5}[mhd]$"), AfterValidator(_bounded)]


class OutputExpiresAfter(Strict):
    """When the files that a batch makes are erased."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3_600, le=2_592_000)]


class BatchRequest(Strict):
    """POST /v1/batches. Any window is honoured, not only 24h."""

    input_file_id: ShortText | None = Field(
        default=None, description="only an open batch (LMaaS) may come without a file"
    )
    endpoint: Endpoint
    completion_window: Window = Field(description="such as 24h, 90m or 7d")
    metadata: Metadata | None = None
    output_expires_after: OutputExpiresAfter | None = None
    priority: Priority = Field(
        default=Priority.BATCH, strict=False, description="LMaaS: the class of its lines"
    )
    open: bool = Field(default=False, description="LMaaS: lines are appended until it is closed")
    dedupe: bool = Field(
        default=False, description="LMaaS: equal lines of temperature 0 run once, answered to all"
    )
    dry_run: bool = Field(
        default=False, description="LMaaS: only counted and checked; see `dry_run` of the answer"
    )

    @model_validator(mode="after")
    def _has_lines(self) -> "BatchRequest":
        if self.input_file_id is None and (self.dry_run or not self.open):
            raise PydanticCustomError("missing", "Field required", {"param": "input_file_id"})
        return self


class BatchChange(Strict):
    """POST /v1/batches/{id}: what can be changed of a batch."""

    priority: Priority = Field(strict=False, description="the class that waiting lines move to")


def _kept(value: JsonValue, depth: int = 0) -> JsonValue:
    """The value itself, if Postgres can keep it."""
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} deep")
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("holds a number that JSON does not know")
    elif isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        for one in inner:
            _kept(one, depth + 1)
    return value


Fields = Annotated[dict[ShortText, JsonValue], Field(max_length=64), AfterValidator(_kept)]


class RetryRequest(Strict):
    """POST /v1/batches/{id}/retry. Without `codes`: all lines that were refused, failed
    or expired; cancelled ones are run again with `"codes": ["batch_cancelled"]`."""

    codes: list[ShortText] | None = Field(
        default=None, min_length=1, max_length=32, description="only lines with these errors"
    )
    body: Fields | None = Field(
        default=None, description='fields instead: {"model": ..., "max_tokens": ...}'
    )
    completion_window: Window | None = None
