"""`python -m workers`: the parent of one Celery worker, which it starts again.

It sees its child die at once and ends the child's lease, so that its jobs run
elsewhere without waiting for the lease to run out.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from uuid import UUID

from jobs import leases, logs
from jobs.database import open_engine, transact
from jobs.errors import BadSettings, DatabaseUnavailable, UnknownModel
from jobs.ids import new_id
from jobs.leases import Incarnation
from jobs.settings import Settings, load
from models_store import catalog
from workers import exit_codes
from workers.identity import Identity

_LONGEST_PAUSE_S = 30.0
# What a draining child may need beyond LMAAS_DRAIN_S, with Postgres or Redis away.
_GRACE_S = 20.0
# A child that lived this long is no crash loop.
_SETTLED_S = 60.0

log = logging.getLogger(__name__)


class Parent:
    """Keeps one child alive until SIGTERM."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = open_engine(settings, application="lmaas-worker-parent", connections=1)
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def stop(self, *_: object) -> None:
        """Passes SIGTERM on; the child drains."""
        self._stopping.set()
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def run(self) -> int:
        """Starts children one after another; returns the exit code of the parent."""
        pause_s = self._settings.restart_pause_s
        while not self._stopping.is_set():
            began, process_id = time.monotonic(), new_id()
            code = self._run_child(process_id)
            self._record_end(process_id, code)
            if self._stopping.is_set():
                return 0
            if code == exit_codes.CONFIG:
                log.error("the worker cannot run with these settings; not started again")
                return exit_codes.CONFIG
            if time.monotonic() - began > _SETTLED_S:
                pause_s = self._settings.restart_pause_s
            log.error("the worker ended with code %s; next start in %.1f s", code, pause_s)
            self._stopping.wait(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
        return 0

    def _run_child(self, process_id: UUID) -> int:
        environment = dict(os.environ) | {"LMAAS_PROCESS_ID": str(process_id)}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "workers.child"], env=environment, stdin=subprocess.DEVNULL
        )
        if self._stopping.is_set():
            self._child.terminate()
        try:
            return self._wait(self._child)
        finally:
            self._child = None

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        """The child's exit code. One that does not end in time after SIGTERM (it
        may hang inside a kernel) is killed."""
        while not self._stopping.is_set():
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
        try:
            return child.wait(timeout=self._settings.drain_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            log.error("the worker does not end; it is killed")
            child.kill()
            return child.wait()

    def _record_end(self, process_id: UUID, code: int) -> None:
        """Ends the child's leases; one that died without a lease is recorded too."""
        try:
            ended = leases.end_process(self._engine, process_id, code)
            for worker_id in ended:
                log.warning("ended the lease of worker %s, whose process is gone", worker_id)
            if code and not ended and not self._stopping.is_set():
                leases.record_stillborn(self._engine, self._stillborn(process_id), code)
        except DatabaseUnavailable:
            log.warning("the lease of the ended worker runs out by itself")
        except UnknownModel as error:
            log.error("%s", error.message)

    def _stillborn(self, process_id: UUID) -> Incarnation:
        text = self._settings.model
        version = transact(self._engine, lambda connection: catalog.resolve(connection, text))
        return Identity(
            version.name, version.version, self._settings.device, process_id=process_id
        ).incarnation(0)


def main() -> None:
    """Runs the parent; a bad setting stops it with a sentence."""
    try:
        settings = load()
    except BadSettings as error:
        sys.exit(f"worker does not start: {error.message}")
    logs.configure(settings, "worker-parent")
    parent = Parent(settings)
    signal.signal(signal.SIGTERM, parent.stop)
    signal.signal(signal.SIGINT, parent.stop)
    sys.exit(parent.run())


if __name__ == "__main__":
    main()
