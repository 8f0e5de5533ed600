"""Commits results, many in one transaction, from a thread of its own.

While one commit is under way the next results gather: under load the cost of a
commit is shared, and a single result waits for nobody.
"""

import logging
import queue
import threading
from uuid import UUID

from bells.hints import Hints
from bells.token_stream import TokenWriter
from jobs.envelopes import Outcome
from jobs.errors import DatabaseUnavailable
from jobs.failpoints import reach
from jobs.states import TERMINAL, State
from jobs.task_manager import TaskManager
from workers.held_jobs import HeldJob, HeldJobs
from workers.identity import Identity

_MOST_AT_ONCE = 500

log = logging.getLogger(__name__)

_Entry = tuple[HeldJob, Outcome]


class ResultWriter:
    """See the module. `stale_writes` counts the results that the fence refused."""

    def __init__(
        self,
        *,
        task_manager: TaskManager,
        identity: Identity,
        held: HeldJobs,
        hints: Hints,
        tokens: TokenWriter,
    ) -> None:
        self._task_manager = task_manager
        self._identity = identity
        self._held = held
        self._hints = hints
        self._tokens = tokens
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="result-writer", daemon=True)
        self.stale_writes = 0

    def start(self) -> None:
        """Starts the writing thread."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what is there, then ends."""
        self._entries.put(None)
        self._thread.join(timeout=5)

    def write(self, held: HeldJob, outcome: Outcome) -> None:
        """Takes a result to be committed; returns at once."""
        self._entries.put((held, outcome))

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: list[_Entry] = []
            entry = self._entries.get()
            while True:
                if entry is None:
                    stopping = True
                else:
                    batch.append(entry)
                if stopping or len(batch) >= _MOST_AT_ONCE or self._entries.empty():
                    break
                entry = self._entries.get()
            if batch:
                self._commit(batch)

    def _commit(self, batch: list[_Entry]) -> None:
        """Tries until Postgres answers, or until the jobs are no longer ours
        (the lease ran out meanwhile, and the lease keeper let them go)."""
        while True:
            batch = [entry for entry in batch if not entry[0].ended.is_set()]
            worker_id = self._identity.worker_id
            if not batch or worker_id is None:
                break
            try:
                states = self._finish(worker_id, [outcome for _, outcome in batch])
            except DatabaseUnavailable as error:
                log.warning("%d results wait: %s", len(batch), error.message)
                threading.Event().wait(0.5)
                continue
            for held, outcome in batch:
                self._settle(held, outcome, states)
            self._hints.tell_finished(list(states))
            return
        for held, _ in batch:
            self._held.let_go(held, None)

    def _finish(self, worker_id: UUID, outcomes: list[Outcome]) -> dict[UUID, State]:
        """What was committed. Ids that are missing are asked for once more: a
        first try whose answer was lost may have been committed meanwhile."""
        reach("worker.finishing")
        states = self._task_manager.finish(worker_id, outcomes)
        reach("worker.finished")
        missing = [outcome for outcome in outcomes if outcome.id not in states]
        return states | self._task_manager.finish(worker_id, missing) if missing else states

    def _settle(self, held: HeldJob, outcome: Outcome, states: dict[UUID, State]) -> None:
        state = states.get(outcome.id)
        if state is None:
            self.stale_writes += 1
            log.warning("result of job %s, attempt %d, was stale and is discarded",
                        outcome.id, outcome.attempt)  # fmt: skip
        elif held.job.stream and state in TERMINAL:
            self._tokens.end(held.job.id)
        self._held.let_go(held, state)
