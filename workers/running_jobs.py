"""The jobs that are in the engine: what becomes of their sequences, until the result."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from bells.token_stream import Delta, TokenWriter
from jobs.envelopes import Outcome
from jobs.errors import DeadlineExceeded, LmaasError
from jobs.logprobs import TokenLogprobs
from jobs.states import State
from workers.completions import Completion, storable
from workers.engines.protocol import Chunk, Partial, Request, Work
from workers.held_jobs import HeldJob, HeldJobs
from workers.model_server import ModelServer
from workers.preparation import next_request
from workers.result_writer import ResultWriter


class RunningJobs:
    """Listens to the Model Server; a job's completions run here one after the
    other, in one slot. `room` is set when a slot is free again; `ran_well` is
    called when a sequence came to its end."""

    def __init__(
        self,
        *,
        held: HeldJobs,
        writer: ResultWriter,
        tokens: TokenWriter,
        room: threading.Event,
        ran_well: Callable[[], None],
    ) -> None:
        self._held = held
        self._writer = writer
        self._tokens = tokens
        self._room = room
        self._ran_well = ran_well
        self._server: ModelServer | None = None
        # Between a removal and the start of a job's next completion.
        self._following = threading.Lock()

    def start(self, server: ModelServer) -> None:
        """The jobs run on `server`."""
        self._server = server

    def begin(self, held: HeldJob, request: Work) -> None:
        """Lets a prepared job's sequence join the batch."""
        server = self._server
        if server is None:
            return
        if not held.ended.is_set():
            server.add(request)
        if held.ending is not None or held.ended.is_set():
            # Its removal was asked for while it was prepared, before it was there.
            server.remove(held.sequence_id)

    def fail(self, held: HeldJob, error: LmaasError) -> None:
        """Ends a job's attempt with an error, and frees its slot."""
        self._held.leave_engine(held)
        self._writer.write(held, held.failure(error.code, error.message, retryable=error.retryable))

    def end(self, id: UUID, state: State) -> None:
        """Takes a job's sequence out at the next step and ends it as `cancelled`
        or `expired`, with the text it has by then."""
        held = self._held.get(id)
        if held is not None and self._server is not None and held.ending is None:
            held.ending = state
            self._take_out(self._server, held)

    def drop(self, held: HeldJob) -> None:
        """Takes a job's sequence out that is no longer this worker's."""
        # Asked for first: whoever takes the slot next is added after the removal.
        if self._server is not None:
            self._take_out(self._server, held)
        self._held.let_go(held, None)
        self._room.set()

    def _take_out(self, server: ModelServer, held: HeldJob) -> None:
        with self._following:
            held.leaving = True
            server.remove(held.sequence_id)

    def on_chunks(self, chunks: Sequence[Chunk]) -> None:
        """See `workers.model_server.Listener`."""
        freed = False
        for chunk in chunks:
            held = self._held.of_sequence(chunk.id)
            if held is not None and held.in_engine:
                self._take(held, chunk)
                freed = freed or not held.in_engine
        if freed:
            self._room.set()

    def _take(self, held: HeldJob, chunk: Chunk) -> None:
        if chunk.prompt_logprobs:
            held.prompt_logprobs = chunk.prompt_logprobs
        self._grow(held, chunk.text, chunk.completion_tokens, chunk.logprobs)
        held.keep(chunk.vectors)
        if chunk.error is not None:
            self.fail(held, chunk.error)
        elif chunk.finish_reason is not None:
            self._ran_well()
            if held.close(chunk.finish_reason):
                self._held.leave_engine(held)
                reason = held.choices[0].finish_reason or chunk.finish_reason
                self._writer.write(held, held.outcome(State.SUCCEEDED, reason))
            elif not self._follow(held):
                self._held.leave_engine(held)
                if held.ending is not None:
                    self._writer.write(held, _cut_off(held, held.ending))

    def _follow(self, held: HeldJob) -> bool:
        """Starts a job's next completion, in the slot that it has; not if it is
        being taken out."""
        with self._following:
            if held.leaving or not isinstance(held.request, Request) or self._server is None:
                return False
            self._server.add(next_request(held.request, len(held.choices)))
            held.choices.append(Completion())
            return True

    def _grow(
        self,
        held: HeldJob,
        text: str,
        completion_tokens: int,
        logprobs: Sequence[TokenLogprobs] = (),
    ) -> None:
        if held.job.stream and (text or logprobs):
            self._stream(held, Delta(
                held.job.attempt, held.characters, storable(text), len(held.choices) - 1,
                held.logprobs, tuple(logprobs),
            ))  # fmt: skip
        held.grow(text, completion_tokens, logprobs)

    def _stream(self, held: HeldJob, delta: Delta) -> None:
        """What does not fit the bound of a stream is told from the result."""
        held.stream_left -= delta.size
        if held.stream_left >= 0:
            self._tokens.tell(held.job.id, delta)

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
            self.fail(held, error)
        self._room.set()


def _cut_off(held: HeldJob, state: State) -> Outcome:
    reason = "cancelled" if state is State.CANCELLED else "deadline"
    if held.choices[-1].finish_reason is None:
        held.close(reason)
    code = None if state is State.CANCELLED else DeadlineExceeded.code
    return replace(held.outcome(state, reason), error_code=code)
