"""Keeps the worker's lease alive, but only while its engine is.

A worker whose engine hangs stops renewing and ends. One that cannot reach
Postgres lets all jobs go before its lease runs out, so that never two workers
run a job in good faith; a thread of its own sees to that, since a heartbeat
may hang in a network that swallows packets. When Postgres is back the worker
takes a new lease under a new id; the loaded model stays.
"""

import logging
import threading
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Engine

from jobs import leases
from jobs.errors import DatabaseUnavailable
from jobs.failpoints import reach
from jobs.settings import Settings
from workers.identity import Identity

log = logging.getLogger(__name__)


class LeaseKeeper:
    """See the module. `healthy` tells whether the engine moves, `hung` ends the
    process if it does not, `lost` lets the jobs in hand go; `stale_writes` and
    `proven` are told with each heartbeat."""

    def __init__(
        self,
        *,
        engine: Engine,
        settings: Settings,
        identity: Identity,
        healthy: Callable[[], bool],
        hung: Callable[[], None],
        lost: Callable[[], None],
        stale_writes: Callable[[], int],
        proven: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._lease_s = settings.lease_s
        self._heartbeat_s = min(settings.heartbeat_s, settings.lease_s / 3)
        self._identity = identity
        self._healthy = healthy
        self._hung = hung
        self._lost = lost
        self._stale_writes = stale_writes
        self._proven = proven
        self._state = "loading"
        self._slots = 0
        self._renewed_at = 0.0
        self._identity_lock = threading.Lock()
        self._soon = threading.Event()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, name="lease-keeper", daemon=True),
            threading.Thread(target=self._guard, name="lease-guard", daemon=True),
        ]

    def start(self) -> None:
        """Takes the first lease, waiting for Postgres if need be, and keeps it."""
        while not self._beat():
            self._stopped.wait(1.0)
        for thread in self._threads:
            thread.start()

    def report(self, state: str, slots: int) -> None:
        """Tells with a heartbeat of its own that the worker is `ready` or `draining`."""
        self._state, self._slots = state, slots
        self._soon.set()

    def stop(self) -> None:
        """Ends the lease."""
        self._stopped.set()
        self._soon.set()
        with self._identity_lock:
            worker_id, self._identity.worker_id = self._identity.worker_id, None
        if worker_id is not None:
            try:
                leases.end(self._engine, worker_id)
            except DatabaseUnavailable:
                log.warning("the lease of worker %s runs out by itself", worker_id)

    def _keep(self) -> None:
        while not self._stopped.is_set():
            self._soon.wait(self._heartbeat_s)
            self._soon.clear()
            if not self._healthy():
                log.error("the engine does not move; the lease is not renewed")
                self._let_go("is given up")
                self._hung()
            elif not self._stopped.is_set():
                self._beat()

    def _guard(self) -> None:
        """Lets all jobs go when a quarter of the lease is left and no heartbeat came."""
        while not self._stopped.wait(min(0.25, self._lease_s / 16)):
            if self._is_overdue():
                self._let_go("could not be renewed", only_if=self._is_overdue)

    def _is_overdue(self) -> bool:
        return time.monotonic() > self._renewed_at + self._lease_s * 0.75

    def _beat(self) -> bool:
        """One renewal, or a new lease if there is none; False if Postgres is away."""
        began = time.monotonic()
        try:
            worker_id = self._identity.worker_id
            kept = self._take() if worker_id is None else self._renew(worker_id)
        except DatabaseUnavailable as error:
            log.warning("no heartbeat: %s", error.message)
            return False
        if kept:
            self._renewed_at = began
        return True

    def _take(self) -> bool:
        who = self._identity.incarnation(self._slots)
        began = time.monotonic()
        leases.open_lease(self._engine, who, self._lease_s)
        leases.end_earlier(self._engine, who)
        if self._state != "loading":
            self._renew(who.id)
        with self._identity_lock:
            if not self._stopped.is_set():
                self._renewed_at = began
                self._identity.worker_id = who.id
        log.info("worker %s hosts %s@%d", who.id, who.model, who.version)
        return True

    def _renew(self, worker_id: UUID) -> bool:
        reach("worker.renewing")
        renewed = leases.renew(
            self._engine,
            worker_id,
            state=self._state,
            slots=self._slots,
            stale_writes=self._stale_writes(),
            lease_s=self._lease_s,
            proven=self._proven(),
        )
        if not renewed:
            self._let_go("was ended by somebody else")
            self._soon.set()
        return renewed

    def _let_go(self, why: str, *, only_if: Callable[[], bool] = lambda: True) -> None:
        # Within the lock: no new lease begins before the old one's jobs are gone,
        # and none that has begun meanwhile is taken for the old one.
        with self._identity_lock:
            if not only_if():
                return
            worker_id, self._identity.worker_id = self._identity.worker_id, None
            if worker_id is not None:
                log.error("the lease of worker %s %s; its jobs are let go", worker_id, why)
                self._lost()
