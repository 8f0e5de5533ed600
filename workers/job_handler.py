"""The Job Handler: claims released jobs, runs them on the engine, hands in results.

It never chooses: it claims the best released rows of its model for its free
slots, on a bell, when a slot frees, and once a second while slots are free.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from bells.hints import Hints
from bells.token_stream import Delta, TokenWriter
from jobs.envelopes import Outcome
from jobs.errors import DatabaseUnavailable, DeadlineExceeded, LmaasError
from jobs.spec import MAX_COMPLETION_TOKENS, Parameters
from jobs.states import State
from jobs.task_manager import TaskManager
from models_store.prompt import PromptRenderer
from workers.engines.protocol import Chunk, Partial, Request, Sampling
from workers.held_jobs import HeldJob, HeldJobs, storable
from workers.identity import Identity
from workers.model_server import ModelServer
from workers.result_writer import ResultWriter
from workers.tasks import prompt_tokens

_LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class JobHandler:
    """One worker's jobs, from claim to commit. It listens to its Model Server."""

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
    ) -> None:
        self._identity = identity
        self._claims = claims
        self._renderer = renderer
        self._held = held
        self._writer = writer
        self._hints = hints
        self._tokens = tokens
        self._claiming = threading.Lock()
        self._room = threading.Event()
        self._stopped = threading.Event()
        self._server: ModelServer | None = None
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)

    def start(self, server: ModelServer) -> None:
        """Begins to claim for the slots of `server`."""
        self._server = server
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
            free = server.slots - self._held.in_engine
            if free <= 0 or self._stopped.is_set():
                return []
            model, version = self._identity.model, self._identity.version
            jobs = self._claims.claim(worker_id, model, version, free)
            if self._identity.worker_id != worker_id:
                return []  # the lease is over, and these go with it
            claimed = [HeldJob(job) for job in jobs]
            for held in claimed:
                # Held already: a crash of Postgres forgot the first claim.
                if (older := self._held.get(held.job.id)) is not None:
                    self.drop(older)
                self._held.add(held)
        for held in claimed:
            self._begin(server, held)
        if claimed:
            self._hints.wake_dispatcher()
        return claimed

    def _begin(self, server: ModelServer, held: HeldJob) -> None:
        try:
            request = self._request(held)
        except LmaasError as error:
            self._fail(held, error)
            return
        except Exception as error:  # noqa: BLE001 - the boundary: no job ends its worker
            # Neither the message nor the traceback: they may quote the prompt.
            log.error("job %s could not be prepared: %s", held.job.id, type(error).__name__)
            self._fail(held, LmaasError("the job could not be prepared; see the worker's log"))
            return
        if not held.ended.is_set():
            server.add(request)
        if held.ending is not None or held.ended.is_set():
            # Its removal was asked for while it was prepared, before it was there.
            server.remove(held.sequence_id)

    def _request(self, held: HeldJob) -> Request:
        job = held.job
        parameters = Parameters.model_validate(job.parameters)
        return Request(
            id=held.sequence_id,
            prompt=prompt_tokens(job.task, self._renderer, job.input),
            sampling=Sampling(
                max_tokens=parameters.max_tokens or MAX_COMPLETION_TOKENS,  # the router sets it
                temperature=parameters.temperature,
                top_p=parameters.top_p,
                top_k=parameters.top_k,
                seed=parameters.seed,
                stop=parameters.stop_strings,
            ),
        )

    def _fail(self, held: HeldJob, error: LmaasError) -> None:
        self._held.leave_engine(held)
        self._writer.write(held, held.failure(error.code, error.message, retryable=error.retryable))

    def end(self, id: UUID, state: State) -> None:
        """Takes a job's sequence out at the next step and ends it as `cancelled`
        or `expired`, with the text it has by then."""
        held = self._held.get(id)
        if held is not None and self._server is not None and held.ending is None:
            held.ending = state
            self._server.remove(held.sequence_id)

    def drop(self, held: HeldJob) -> None:
        """Takes a job's sequence out that is no longer this worker's."""
        # Asked for first: whoever takes the slot next is added after the removal.
        if self._server is not None:
            self._server.remove(held.sequence_id)
        self._held.let_go(held, None)
        self._room.set()

    def on_chunks(self, chunks: Sequence[Chunk]) -> None:
        """See `workers.model_server.Listener`."""
        freed = False
        for chunk in chunks:
            held = self._held.of_sequence(chunk.id)
            if held is None or not held.in_engine:
                continue
            self._grow(held, chunk.text, chunk.completion_tokens)
            if chunk.finish_reason is not None:
                freed = True
                self._held.leave_engine(held)
                self._writer.write(held, held.outcome(State.SUCCEEDED, chunk.finish_reason))
        if freed:
            self._room.set()

    def _grow(self, held: HeldJob, text: str, completion_tokens: int) -> None:
        if text and held.job.stream:
            delta = Delta(held.job.attempt, held.characters, storable(text))
            self._tokens.tell(held.job.id, delta)
        held.grow(text, completion_tokens)

    def on_removed(self, id: UUID, partial: Partial) -> None:
        """See `workers.model_server.Listener`."""
        held = self._held.of_sequence(id)
        if held is not None and held.in_engine and held.ending is not None:
            self._grow(held, partial.text, partial.completion_tokens)
            self._held.leave_engine(held)
            self._writer.write(held, _cut_off(held, held.ending))
        self._room.set()

    def on_refused(self, id: UUID, error: LmaasError) -> None:
        """See `workers.model_server.Listener`."""
        held = self._held.of_sequence(id)
        if held is not None:
            self._fail(held, error)
        self._room.set()


def _cut_off(held: HeldJob, state: State) -> Outcome:
    if state is State.CANCELLED:
        return held.outcome(state, "cancelled")
    return replace(held.outcome(state, "deadline"), error_code=DeadlineExceeded.code)
