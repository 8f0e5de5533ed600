"""Points in time as the API writes them: UTC, RFC 3339."""

from datetime import UTC, datetime


def moment(at: datetime) -> str:
    """A point in time."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def maybe(at: datetime | None) -> str | None:
    """The same for one that may not have come."""
    return None if at is None else moment(at)
