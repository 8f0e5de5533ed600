"""Points in time that clients send: what fits the calendar in UTC, and nothing else.

Postgres keeps more years than Python's dates have, so a moment near either end of them
would be stored, and never be read again.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from jobs.errors import InvalidRequest

_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


def _as_written(value: Any) -> Any:
    """Raises `ValueError` for a number, which pydantic would take for seconds or
    milliseconds since 1970, whichever seems likelier."""
    if isinstance(value, datetime) or (isinstance(value, str) and _WRITTEN.match(value)):
        return value
    raise ValueError("a moment with its offset is expected, such as 2026-01-31T12:00:00Z")


# In a body. Strict mode takes no string for a moment in Python, JSON has nothing else.
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_as_written)]


def in_utc(at: datetime, param: str) -> datetime:
    """The same moment in UTC. Raises `InvalidRequest` if it lies outside the years 1 to
    9999 there, which its own offset may hide."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(
            f"{param} lies outside the years 1 to 9999 in UTC; give a moment within them",
            param=param,
        ) from None


def maybe_in_utc(at: datetime | None, param: str) -> datetime | None:
    """The same for one that may be missing."""
    return None if at is None else in_utc(at, param)
