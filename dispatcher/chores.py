"""Chores: work that is neither next nor now, each in a thread of its own.

A chore is a function that does one bounded piece and may be called again at any
time, in several processes at once. One that takes minutes delays no other.
"""

import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

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


class Report(Protocol):
    """Is told how often in a row a chore has failed, and with which kind of error; 0 with
    its first success, and with the first after a failure."""

    def __call__(self, chore: str, times: int, error: str | None) -> None:
        """May raise `DatabaseUnavailable`."""


def work(chores: list[Chore], stopping: threading.Event, report: Report) -> None:
    """Runs all of them until the event is set, then waits for each to end its piece."""
    threads = [
        threading.Thread(target=_repeat, args=(chore, stopping, report), name=chore.name)
        for chore in chores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _repeat(chore: Chore, stopping: threading.Event, report: Report) -> None:
    failures, told = 0, -1
    while not stopping.is_set():
        more: object = None
        try:
            more, failures, error = chore.run(stopping), 0, None
        except DatabaseUnavailable as away:
            log.warning("%s: %s", chore.name, away.message)
            stopping.wait(chore.every_s)
            continue
        except Exception as bug:  # noqa: BLE001 - a bug that one row brings out ends no other chore
            failures, error = failures + 1, type(bug).__name__
            # Without its message, which may quote what a client wrote.
            where = "".join(traceback.format_tb(bug.__traceback__))
            log.critical("the chore %r failed %d times in a row: %s at\n%s",
                         chore.name, failures, error, where)  # fmt: skip
        if failures != told and _reported(report, chore.name, failures, error):
            told = failures
        if failures:
            stopping.wait(min(_LONGEST_PAUSE_S, 2.0**failures))
        elif more is not MORE:
            stopping.wait(chore.every_s)


def _reported(report: Report, chore: str, failures: int, error: str | None) -> bool:
    try:
        report(chore, failures, error)
    except DatabaseUnavailable as away:
        log.warning("%s cannot say how it does: %s", chore, away.message)
        return False
    return True
