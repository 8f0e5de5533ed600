"""Numbers, times and exits as people read them."""

from datetime import datetime

_EXITS = {65: "a file of the model is damaged", 78: "a setting or the model is wrong"}


def exit_of(code: int | None) -> str:
    """How a process ended, in brackets; empty if nobody knows."""
    if code is None:
        return ""
    if code < 0:
        return f" (killed by signal {-code})"
    meaning = f": {_EXITS[code]}" if code in _EXITS else ""
    return f" (exit code {code}{meaning})"


def jobs_of(number: int) -> str:
    """The noun for that many."""
    return "job" if number == 1 else "jobs"


def go(number: int) -> str:
    """The verb for that many."""
    return "goes" if number == 1 else "go"


def count(number: int) -> str:
    """A number for people."""
    return f"{number:,}"


def clock(moment: datetime | None) -> str:
    """A point in time for people, in UTC to the second."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def seconds(span: float) -> str:
    """A span of time for people."""
    if span < 120:
        return f"{max(0.0, span):.0f} s"
    if span < 7_200:
        return f"{span / 60:.0f} min"
    return f"{span / 3600:.1f} h"
