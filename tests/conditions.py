"""Waiting on conditions with a bound, instead of sleeping."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parent.parent


def eventually(look: Callable[[], T | None], *, within_s: float = 30, what: str = "") -> T:
    """The first true value of `look`; fails with its last value after the bound."""
    deadline = time.monotonic() + within_s
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or look} (last: {value!r})")
        time.sleep(0.02)
