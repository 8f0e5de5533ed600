"""Named lines at which a test can make a process die, sleep, hang or fail.

Nothing happens unless `LMAAS_FAILPOINTS` arms a point, such as
`worker.claimed=kill@3`: the third time this process comes by. Each point
stands at exactly one line of the code; a test compares the two.
"""

import itertools
import logging
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

POINTS: dict[str, str] = {
    "web.submitting": "a checked job is about to be sent to Postgres",
    "web.submitted": "the job is committed, its 202 not yet said",
    "files.renaming": "the bytes of a file are synced, not yet under their name",
    "files.keeping": "the bytes of a file are whole, no row speaks for them",
    "files.kept": "the row of a file is committed, nobody told",
    "dispatcher.releasing": "a tick is about to mark rows as released",
    "dispatcher.released": "rows are released and committed, their bell not yet rung",
    "dispatcher.ringing": "a bell is about to be published",
    "batches.gathered": "the file of retried lines is there, the batch does not name it",
    "batches.taking": "a chunk of lines is about to be sent to Postgres",
    "batches.taken": "a chunk of lines is committed, nobody told",
    "batches.writing": "a piece of an output file was made, not yet written",
    "batches.written": "a batch's files are there, it has not ended yet",
    "dispatcher.reaping": "overdue leases are ended, their jobs not yet taken back",
    "housekeeper.delivered": "a webhook was answered, its delivery not yet marked",
    "worker.rung": "a bell was received, nothing claimed for it",
    "worker.claiming": "a worker is about to claim",
    "worker.claimed": "jobs are claimed and not yet in the engine",
    "worker.decoding": "the engine is about to make a step",
    "worker.finishing": "results are about to be sent to Postgres",
    "worker.finished": "results are committed, the worker does not yet know",
    "worker.renewing": "a lease is about to be renewed",
}


class FailpointError(Exception):
    """What the action `error` raises: no part of LMaaS knows it."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    # To this very thread: sent to the process, another thread may take it, and
    # this one would walk on for a moment.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _error() -> None:
    raise FailpointError("a failpoint of a test was reached")


def _hang() -> None:
    threading.Event().wait()


def _starve() -> None:
    """Takes away all memory that the process does not have yet, and asks for some."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    bytearray(1 << 30)


ACTIONS: dict[str, Callable[[], None]] = {
    "kill": _kill,
    "stop": _stop,
    "error": _error,
    "hang": _hang,
    "starve": _starve,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens the `at`-th time (from 1) that a process reaches a point, once."""

    action: str
    at: int
    times: Iterator[int] = field(default_factory=lambda: itertools.count(1), compare=False)


_armed: Mapping[str, Plan] = {}

log = logging.getLogger(__name__)


def parse(text: str) -> dict[str, Plan]:
    """The plan of each point that `text` names; `point=action@number`, several
    by commas, nothing for none. Raises ValueError that says what is expected."""
    plans: dict[str, Plan] = {}
    for item in filter(None, text.split(",")):
        name, _, rest = item.partition("=")
        action, _, number = rest.partition("@")
        if name not in POINTS:
            raise ValueError(f"no failpoint is named {name!r}; there are {', '.join(POINTS)}")
        if action not in ACTIONS or not number.isdecimal() or int(number) < 1:
            raise ValueError(
                f"expected {name}=ACTION@NUMBER with one of {', '.join(ACTIONS)} "
                f"and a number from 1, not {item!r}"
            )
        if name in plans:
            raise ValueError(f"{name} is named twice")
        plans[name] = Plan(action, int(number))
    return plans


def arm(text: str) -> None:
    """Makes this process obey the setting `LMAAS_FAILPOINTS`, from now on."""
    global _armed  # noqa: PLW0603 - one for each process, as the setting is
    _armed = parse(text)
    if _armed:
        log.warning("failpoints are armed, for tests only: %s", text)


def reach(name: str) -> None:
    """Tells that the process has come to a point. Raises `FailpointError` if it
    is armed with `error`, and does nothing if it is not armed."""
    if _armed:
        _obey(name)


def _obey(name: str) -> None:
    plan = _armed.get(name)
    # next() of a count is atomic, so of many threads exactly one is the n-th.
    if plan is not None and next(plan.times) == plan.at:
        log.warning("failpoint %s: %s", name, plan.action)
        ACTIONS[plan.action]()
