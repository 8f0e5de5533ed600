"""Keeps one process or server running: restart with back-off, and an honest account."""

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lmaas.errors import StartFailed
from lmaas.local import process
from lmaas.local.report import ProcessReport

_STEADY_S = 60.0
_LONGEST_PAUSE_S = 30.0
LOOPING = 3
# sysexits.h, EX_CONFIG: with these settings it ends every time.
HOPELESS = 78


class Runner(Protocol):
    """Something that can be started, looked at and stopped."""

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""

    def start(self) -> object:
        """Starts it; raises `StartFailed`."""

    def stop(self, timeout_s: float) -> None:
        """Stops it, by force after `timeout_s`."""


class ProcessRunner:
    """One process of the checkout."""

    def __init__(
        self, command: tuple[str, ...], environment: Mapping[str, str], root: Path, log: Path
    ) -> None:
        self._command, self._environment = command, environment
        self._root, self._log = root, log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        running = self._child is not None and self._child.poll() is None
        return self._child.pid if self._child is not None and running else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; negative is the signal's number."""
        return self._child.poll() if self._child is not None else None

    def start(self) -> None:
        """Starts it; it dies with the thread that calls this."""
        if self._child is not None:
            # What a killed parent left behind would hold its port or its memory.
            process.kill_group(self._child.pid)
        self._child = process.spawn(
            self._command, log=self._log, cwd=self._root, environment=self._environment
        )

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL for it and its own children after `timeout_s`."""
        if self._child is None:
            return
        process.reap(self._child, signal.SIGTERM, timeout_s)
        process.kill_group(self._child.pid)


class Keeper:
    """A runner that shall run, and what is known about it."""

    def __init__(self, name: str, runner: Runner, log: Path) -> None:
        self.name, self.runner, self.log = name, runner, log
        self.restarts = self.failures = 0
        self.last_exit: int | None = None
        self._since = time.time()
        self._identity: process.Identity | None = None
        self._again_at: float | None = None

    @property
    def looping(self) -> bool:
        """Whether it ended several times soon after its start, or says that it must."""
        return self.failures >= LOOPING or self.last_exit == HOPELESS

    def start(self) -> None:
        """Starts it now; raises `StartFailed`."""
        self.runner.start()
        self._since, self._again_at = time.time(), None
        self._identity = process.identify(self.runner.pid) if self.runner.pid else None

    def tend(self) -> bool:
        """Starts it again if it ended and its pause is over; True if something changed."""
        now = time.time()
        if self._again_at is not None:
            return now >= self._again_at and self._start_again()
        if self.runner.pid is not None:
            if self.failures and now - self._since > _STEADY_S:
                self.failures, self.last_exit = 0, None
            return False
        self.last_exit = getattr(self.runner, "exit_code", None)
        self._pause(now)
        return True

    def _pause(self, now: float) -> None:
        self._again_at = now + min(0.5 * 2.0**self.failures, _LONGEST_PAUSE_S)
        self.failures += 1
        self._since, self._identity = now, None

    def _start_again(self) -> bool:
        self.restarts += 1
        try:
            self.start()
        except StartFailed:
            self._pause(time.time())
        return True

    def report(self) -> ProcessReport:
        """What `lmaas status` shows."""
        return ProcessReport(
            name=self.name,
            state=self._state(),
            pid=self._identity.pid if self._identity else None,
            started=self._identity.started if self._identity else None,
            since=self._since,
            restarts=self.restarts,
            last_exit=self.last_exit,
            log=str(self.log),
        )

    def _state(self) -> str:
        if self._identity is not None:
            return "running"
        if self._again_at is None:
            return "ended"
        return "crash loop" if self.looping else "restarting"

    def stop(self, timeout_s: float) -> None:
        """Stops it for good."""
        self.runner.stop(timeout_s)
        self._identity, self._again_at, self._since = None, None, time.time()
