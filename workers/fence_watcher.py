"""Asks Postgres five times a second what this worker holds, and obeys.

One query for all jobs in hand brings cancels, and jobs that were taken from
this worker while it slept; a Redis hint only makes it look sooner.
"""

import logging
import threading
from uuid import UUID

from jobs.envelopes import HeldRow
from jobs.errors import DatabaseUnavailable
from jobs.states import State
from jobs.task_manager import TaskManager
from workers.held_jobs import HeldJob, HeldJobs
from workers.identity import Identity
from workers.running_jobs import RunningJobs

_EVERY_S = 0.2
# A claim whose answer was lost leaves rows that Postgres says are ours and we
# know nothing of. Seen in this many looks in a row, they are given back.
_STRAY_LOOKS = 5

log = logging.getLogger(__name__)


class FenceWatcher:
    """See the module."""

    def __init__(
        self, task_manager: TaskManager, identity: Identity, held: HeldJobs, running: RunningJobs
    ) -> None:
        self._task_manager = task_manager
        self._identity = identity
        self._held = held
        self._running = running
        self._strays: dict[UUID, int] = {}
        self._sooner = threading.Event()
        self._stopped = threading.Event()
        self._looks = 0
        self._thread = threading.Thread(target=self._run, name="fence-watcher", daemon=True)

    def start(self) -> None:
        """Starts the watching thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._stopped.set()
        self._sooner.set()
        self._thread.join(timeout=5)

    def hear(self, ids: list[UUID]) -> None:
        """A hint: one of these may have been cancelled."""
        if any(self._held.get(id) is not None for id in ids):
            self._sooner.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._sooner.wait(_EVERY_S)
            self._sooner.clear()
            self._looks += 1
            # With nothing in hand a look a second is enough, for strays.
            if len(self._held) or self._strays or self._looks % 5 == 0:
                self._look()

    def _look(self) -> None:
        worker_id = self._identity.worker_id
        if worker_id is None:
            return
        try:
            self._compare(worker_id)
        except DatabaseUnavailable:
            return  # the lease keeper decides what a longer silence means

    def _compare(self, worker_id: UUID) -> None:
        before = [held for held in self._held.snapshot() if held.in_engine]
        ours = self._task_manager.held(worker_id)
        for held in before:
            self._obey(held, ours.get(held.job.id))
        self._return_strays(worker_id, [id for id in ours if self._held.get(id) is None])

    def _obey(self, held: HeldJob, row: HeldRow | None) -> None:
        if row is None or row.attempt != held.job.attempt:
            if held.in_engine:
                log.warning("job %s is no longer ours; its sequence stops", held.job.id)
                self._running.drop(held)
        elif row.cancel_requested:
            self._running.end(held.job.id, State.CANCELLED)
        elif row.overdue:
            self._running.end(held.job.id, State.EXPIRED)

    def _return_strays(self, worker_id: UUID, unknown: list[UUID]) -> None:
        self._strays = {id: self._strays.get(id, 0) + 1 for id in unknown}
        ripe = [id for id, looks in self._strays.items() if looks >= _STRAY_LOOKS]
        if ripe:
            log.warning("%d jobs were claimed and their answer lost; given back", len(ripe))
            self._task_manager.give_back(worker_id, ripe)
