"""What a supervisor says about itself, and what anybody else reads of it."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lmaas.local.checkout import Checkout
from lmaas.local.memory import write_private
from lmaas.local.process import Identity

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process: `state` is starting, running, waiting (to be started again) or ended."""

    name: str
    state: str
    pid: int | None
    started: str | None
    since: float
    restarts: int
    last_exit: int | None
    log: str


@dataclass(frozen=True, slots=True)
class Report:
    """The supervisor's own account. `step` is a sentence for people."""

    phase: Phase
    step: str
    pid: int
    started: str
    since: float
    ready_after_s: float | None = None
    processes: tuple[ProcessReport, ...] = ()
    addresses: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        """The supervisor's process."""
        return Identity(self.pid, self.started)


def write(report: Report, file: Path) -> None:
    """Replaces the last report."""
    write_private(file, json.dumps(asdict(report), indent=1))


def read(file: Path) -> Report | None:
    """The last report; None if there is none that can be read."""
    try:
        body: dict[str, Any] = json.loads(file.read_text())
        processes = tuple(ProcessReport(**item) for item in body.pop("processes"))
        notes = tuple(body.pop("notes"))
        return Report(**body, processes=processes, notes=notes)
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextmanager
def supervisor_lock(checkout: Checkout) -> Iterator[bool]:
    """Holds the lock that says 'a supervisor lives here'; False if another has it.

    The kernel lets go of it when the holder dies, however it dies, so it
    cannot be stale as a pid file can.
    """
    with checkout.lock_file.open("a") as file:
        yield _take(file.fileno())


def _take(descriptor: int) -> bool:
    """Tries for a second: who only looks holds the lock for a moment."""
    for _ in range(20):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def supervisor_lives(checkout: Checkout) -> bool:
    """Whether a supervisor holds the lock now."""
    try:
        descriptor = os.open(checkout.lock_file, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
