"""The body of POST /v1/batches; compare `openai.types.batch_create_params` (3.51)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from jobs.batches.limits import LONGEST_WINDOW_S
from jobs.spec import Metadata, ShortText, Strict
from routing.openai.endpoints import ENDPOINTS
from routing.openai.fields import UNSUPPORTED_VALUE

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

    input_file_id: ShortText
    endpoint: Endpoint
    completion_window: Window = Field(description="such as 24h, 90m or 7d")
    metadata: Metadata | None = None
    output_expires_after: OutputExpiresAfter | None = None
