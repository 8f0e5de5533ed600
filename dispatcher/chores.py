"""Chores: work that is neither next nor now, each in a thread of its own.

A chore is a function that does one bounded piece and may be called again at any
time, in several processes at once. One that takes minutes delays no other.
"""

import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from jobs.errors import DatabaseUnavailable

# More of the same waits.
MORE = object()
_LONGEST_PAUSE_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """`run` is called every `every_s`, and again at once after it returned `MORE`.
    It takes the event that is set at the end."""

    name: str
    every_s: float
    run: Callable[[threading.Event], object]


def work(chores: list[Chore], stopping: threading.Event) -> None:
    """Runs all of them until the event is set, then waits for each to end its piece."""
    threads = [
        threading.Thread(target=_repeat, args=(chore, stopping), name=chore.name)
        for chore in chores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _repeat(chore: Chore, stopping: threading.Event) -> None:
    failures = 0
    while not stopping.is_set():
        more: object = None
        try:
            more = chore.run(stopping)
            failures = 0
        except DatabaseUnavailable as error:
            log.warning("%s: %s", chore.name, error.message)
        except Exception as error:  # noqa: BLE001 - a bug that one row brings out ends no other chore
            failures += 1
            # Without its message, which may quote what a client wrote.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.critical("the chore %r failed %d times in a row: %s at\n%s",
                         chore.name, failures, type(error).__name__, where)  # fmt: skip
            stopping.wait(min(_LONGEST_PAUSE_S, 2.0**failures))
        if more is not MORE:
            stopping.wait(chore.every_s)
