"""Times on the command line: RFC 3339, or how long ago or ahead."""

import re
from datetime import UTC, datetime, timedelta

import click

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def time_past(word: str) -> datetime:
    """2027-01-31T08:00:00Z, or a span such as 90s, 30m, 2h, 3d: so long ago."""
    return _moment(word, -1)


def time_ahead(word: str) -> datetime:
    """The same, a span counting from now on."""
    return _moment(word, 1)


def _moment(word: str, sign: int) -> datetime:
    """A time without a zone is this machine's own."""
    span = _SPAN.fullmatch(word)
    try:
        if span:
            seconds = float(span[1]) * _UNIT_S[span[2]]
            return datetime.now(UTC) + sign * timedelta(seconds=seconds)
        return datetime.fromisoformat(word).astimezone()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{word!r} is no time: write 2027-01-31T08:00:00Z, or 30m, 2h, 3d"
        ) from None
