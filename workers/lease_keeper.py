"""Keeps the worker's lease alive, but only while its engine is.

A worker whose engine hangs, or that cannot reach Postgres, stops renewing; and
before its lease runs out it lets all jobs go, so that never two workers run a
job in good faith. When Postgres is back it takes a new lease under a new id;
the loaded model stays.
"""

import logging
import threading
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Engine

from jobs import leases
from jobs.errors import DatabaseUnavailable
from jobs.settings import Settings
from workers.identity import Identity

log = logging.getLogger(__name__)


class LeaseKeeper:
    """See the module. `healthy` tells whether the engine moves; `lost` is
    called when the jobs in hand are no longer this worker's."""

    def __init__(
        self,
        *,
        engine: Engine,
        settings: Settings,
        identity: Identity,
        healthy: Callable[[], bool],
        lost: Callable[[], None],
        stale_writes: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._lease_s = settings.lease_s
        self._heartbeat_s = min(settings.heartbeat_s, settings.lease_s / 3)
        self._identity = identity
        self._healthy = healthy
        self._lost = lost
        self._stale_writes = stale_writes
        self._state = "loading"
        self._slots = 0
        self._renewed_at = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Takes the first lease, waiting for Postgres if need be, and keeps it."""
        while not self._beat():
            self._stopped.wait(1.0)
        self._thread.start()

    def report(self, state: str, slots: int) -> None:
        """Tells at once that the worker is `ready` or `draining`."""
        self._state, self._slots = state, slots
        self._beat()

    def stop(self) -> UUID | None:
        """Ends the lease; returns the id it ran under."""
        self._stopped.set()
        with self._lock:
            worker_id, self._identity.worker_id = self._identity.worker_id, None
        if worker_id is not None:
            try:
                leases.end(self._engine, worker_id)
            except DatabaseUnavailable:
                log.warning("the lease of worker %s runs out by itself", worker_id)
        return worker_id

    def _run(self) -> None:
        while not self._stopped.wait(self._heartbeat_s):
            if not self._healthy():
                log.error("the engine does not move; the lease is not renewed")
                self._give_up_in_time()
                continue
            if not self._beat():
                self._give_up_in_time()

    def _beat(self) -> bool:
        """One renewal, or a new lease if there is none; False if Postgres is away."""
        with self._lock:
            if self._stopped.is_set():
                return True
            began = time.monotonic()
            try:
                self._take() if self._identity.worker_id is None else self._renew()
            except DatabaseUnavailable as error:
                log.warning("no heartbeat: %s", error.message)
                return False
            self._renewed_at = began
            return True

    def _take(self) -> None:
        who = self._identity.incarnation(self._slots)
        leases.open_lease(self._engine, who, self._lease_s)
        self._identity.worker_id = who.id
        log.info("worker %s hosts %s@%d", who.id, who.model, who.version)
        if self._state != "loading":
            self._renew()

    def _renew(self) -> None:
        worker_id = self._identity.worker_id
        if worker_id is None:
            return
        renewed = leases.renew(
            self._engine,
            worker_id,
            state=self._state,
            slots=self._slots,
            stale_writes=self._stale_writes(),
            lease_s=self._lease_s,
        )
        if not renewed:
            self._let_go("was ended by somebody else")
            self._take()

    def _give_up_in_time(self) -> None:
        """Lets all jobs go if the next heartbeat could come after the lease's end."""
        left = self._renewed_at + self._lease_s - time.monotonic()
        with self._lock:
            if left <= self._heartbeat_s + self._lease_s / 6:
                self._let_go("could not be renewed")

    def _let_go(self, why: str) -> None:
        if self._identity.worker_id is not None:
            log.error("the lease of worker %s %s; its jobs are let go",
                      self._identity.worker_id, why)  # fmt: skip
            self._identity.worker_id = None
            self._lost()
