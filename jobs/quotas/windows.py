"""A minute that slides: what was admitted in each of the last 61 seconds, newest first.

A slot is a second of Postgres' clock, so whatever 60 seconds one looks at lie within 61
slots, and what they admit is never more than the limit.
"""

from collections.abc import Sequence

SLOTS = 61


def wait_s(slots: Sequence[int], limit: int, wanted: int) -> int | None:
    """Seconds until so much more passes, if nothing else is admitted meanwhile; None if
    it never does, because it is more than the limit by itself."""
    if wanted > limit:
        return None
    used = sum(slots)
    for passed, oldest in enumerate(reversed(slots)):
        if used + wanted <= limit:
            return passed
        used -= oldest
    return len(slots)


def empty_s(slots: Sequence[int]) -> int:
    """Seconds until nothing counts any more."""
    newest = next((age for age, used in enumerate(slots) if used), len(slots))
    return len(slots) - newest
