"""The Job Handler: claims released jobs, runs them on the engine, hands in results.

It never chooses: it claims the best released rows of its model for its free
slots, on a bell, when a slot frees, and once a second while slots are free.
"""

import logging
import threading
from collections.abc import Sequence
from uuid import UUID

from bells.hints import Hints
from bells.token_stream import TokenWriter
from jobs.errors import DatabaseUnavailable, LmaasError
from jobs.failpoints import reach
from jobs.task_manager import TaskManager
from models_store.prompt import PromptRenderer
from workers.confidence import Confidence
from workers.held_jobs import HeldJob, HeldJobs
from workers.identity import Identity
from workers.model_server import ModelServer
from workers.preparation import Preparation
from workers.result_writer import ResultWriter
from workers.running_jobs import RunningJobs

_LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class JobHandler:
    """One worker's jobs, from claim to commit; `running` are those in the engine."""

    def __init__(
        self,
        *,
        identity: Identity,
        claims: TaskManager,
        renderer: PromptRenderer,
        held: HeldJobs,
        writer: ResultWriter,
        hints: Hints,
        tokens: TokenWriter,
        confidence: Confidence | None = None,
    ) -> None:
        self._identity = identity
        self._claims = claims
        self._preparation = Preparation(renderer)
        self._held = held
        self._hints = hints
        self._confidence = confidence or Confidence()
        self._claiming = threading.Lock()
        self._room = threading.Event()
        self.running = RunningJobs(
            held=held,
            writer=writer,
            tokens=tokens,
            room=self._room,
            ran_well=self._confidence.gain,
        )
        self._stopped = threading.Event()
        self._server: ModelServer | None = None
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)

    def start(self, server: ModelServer) -> None:
        """Begins to claim for the slots of `server`."""
        self._server = server
        self.running.start(server)
        self._room.set()  # what was released before is not rung for again
        self._thread.start()

    def stop_claiming(self) -> None:
        """Takes no further job; those in hand go on. On return, a claim that was
        under way has ended and its jobs are in hand."""
        self._stopped.set()
        self._room.set()
        with self._claiming:
            pass

    def run(self, ids: Sequence[UUID]) -> dict[str, str]:
        """A bell: claims what fits, waits until that has ended here, and says
        how. `ids` are the jobs it was rung for; other workers may have them."""
        reach("worker.rung")
        try:
            claimed = self._claim()
        except DatabaseUnavailable as error:
            log.warning("a bell went unheard: %s", error.message)
            claimed = []
        rung = [held for id in ids if (held := self._held.get(id)) is not None]
        waited = {held.job.id: held for held in (*claimed, *rung)}
        for held in waited.values():
            held.ended.wait()
        return {
            str(id): "let go" if held.state is None else held.state.value
            for id, held in waited.items()
        }

    def _feed(self) -> None:
        while not self._stopped.is_set():
            self._room.wait(timeout=_LOOK_EVERY_S)
            self._room.clear()
            try:
                while self._claim():
                    pass
            except DatabaseUnavailable as error:
                log.warning("no claims for a second: %s", error.message)
                self._stopped.wait(1.0)

    def _claim(self) -> list[HeldJob]:
        server, worker_id = self._server, self._identity.worker_id
        if server is None or worker_id is None:
            return []
        with self._claiming:
            free = self._confidence.room(server.slots, self._held.in_engine)
            if free <= 0 or self._stopped.is_set():
                return []
            model, version = self._identity.model, self._identity.version
            reach("worker.claiming")
            jobs = self._claims.claim(worker_id, model, version, free)
            if self._identity.worker_id != worker_id:
                return []  # the lease is over, and these go with it
            claimed = [HeldJob(job) for job in jobs]
            for held in claimed:
                # Held already: a crash of Postgres forgot the first claim.
                if (older := self._held.get(held.job.id)) is not None:
                    self.running.drop(older)
                self._held.add(held)
        if claimed:
            reach("worker.claimed")
            for held in claimed:
                self._begin(held)
            self._hints.wake_dispatcher()
        return claimed

    def _begin(self, held: HeldJob) -> None:
        try:
            request = self._preparation.request(held)
        except LmaasError as error:
            self.running.fail(held, error)
            return
        except Exception as error:  # noqa: BLE001 - the boundary: no job ends its worker
            # Neither the message nor the traceback: they may quote the prompt.
            log.error("job %s could not be prepared: %s", held.job.id, type(error).__name__)
            self.running.fail(
                held, LmaasError("the job could not be prepared; see the worker's log")
            )
            return
        self.running.begin(held, request)
