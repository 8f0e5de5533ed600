"""The jobs that a worker holds between claim and commit, in memory."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from bells.token_stream import MOST_STREAMED
from jobs import embeddings
from jobs.envelopes import ClaimedJob, Outcome
from jobs.ids import new_id
from jobs.logprobs import TokenLogprobs
from jobs.states import State
from workers.completions import Completion, details, storable
from workers.engines.protocol import Request, Texts, Vector, Work


@dataclass(slots=True, eq=False)
class HeldJob:
    """One claimed job and what its sequence has produced so far.

    Its `wanted` completions run one after the other in one slot; of texts that are
    read it has `vectors` instead. `ended` is set
    when nothing more happens to the job on this worker; then `state` is what was
    committed, or None if the write was stale or the job was let go.
    """

    job: ClaimedJob
    # The engine's name for it: a job that is claimed again is another sequence.
    sequence_id: UUID = field(default_factory=new_id)
    request: Work | None = None
    wanted: int = 1
    choices: list[Completion] = field(default_factory=lambda: [Completion()])
    # Told once, with the first chunk.
    prompt_logprobs: Sequence[TokenLogprobs] = ()
    # Of texts that were read, by number.
    vectors: dict[int, bytes] = field(default_factory=dict)
    # Of all completions together: characters, and tokens whose logprobs were told.
    characters: int = 0
    logprobs: int = 0
    # What the job's stream may still hold.
    stream_left: int = MOST_STREAMED
    first_token_at: float | None = None
    in_engine: bool = True
    # Its sequence is being taken out: no further one of its own follows.
    leaving: bool = False
    # Why its sequence is being taken out, if it is: CANCELLED or EXPIRED.
    ending: State | None = None
    state: State | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def completion_tokens(self) -> int:
        """Tokens of all completions so far."""
        return sum(choice.tokens for choice in self.choices)

    def grow(
        self, text: str, completion_tokens: int, logprobs: Sequence[TokenLogprobs] = ()
    ) -> None:
        """Takes what a step added to the completion that runs."""
        if self.first_token_at is None and completion_tokens:
            self.first_token_at = time.monotonic()
        now = self.choices[-1]
        if text:
            now.parts.append(text)
            self.characters += len(text)
        now.tokens = completion_tokens
        now.logprobs += logprobs
        self.logprobs += len(logprobs)

    def keep(self, vectors: Sequence[Vector]) -> None:
        """Takes the vectors of texts that a step has read."""
        self.vectors.update((vector.number, vector.values) for vector in vectors)

    def close(self, finish_reason: str) -> bool:
        """Ends the completion that runs; whether all that were wanted are there."""
        self.choices[-1].finish_reason = finish_reason
        return len(self.choices) >= self.wanted

    def outcome(self, state: State, finish_reason: str) -> Outcome:
        """How the job ended, with the text that it has by now."""
        age = None if self.first_token_at is None else time.monotonic() - self.first_token_at
        return Outcome(
            id=self.job.id,
            attempt=self.job.attempt,
            state=state,
            finish_reason=finish_reason,
            text=None if isinstance(self.request, Texts) else self.choices[0].text,
            details=self._details(state),
            completion_tokens=self.completion_tokens,
            first_token_age_s=age,
        )

    def _details(self, state: State) -> dict[str, Any]:
        match self.request:
            case Texts():  # some of the vectors are of use to nobody
                return embeddings.details(self.vectors) if state is State.SUCCEEDED else {}
            case Request(sampling=sampling):
                told = sampling.logprobs is not None
            case None:
                told = False
        return details(
            self.choices, several=self.wanted > 1, logprobs=told, prompt=self.prompt_logprobs
        )

    def failure(self, code: str, message: str, *, retryable: bool = False) -> Outcome:
        """How the attempt ended if it could not run."""
        return Outcome(
            id=self.job.id,
            attempt=self.job.attempt,
            state=State.FAILED,
            completion_tokens=self.completion_tokens,
            error_code=code,
            error_message=storable(message),
            retryable=retryable,
        )


class HeldJobs:
    """A table of held jobs that several threads read; see `JobHandler`."""

    def __init__(self) -> None:
        self._by_job: dict[UUID, HeldJob] = {}
        self._by_sequence: dict[UUID, HeldJob] = {}
        self._lock = threading.Lock()
        self._in_engine = 0

    def add(self, held: HeldJob) -> None:
        """Takes a claimed job in; one that is held already must be let go before."""
        with self._lock:
            self._by_job[held.job.id] = held
            self._by_sequence[held.sequence_id] = held
            self._in_engine += 1

    def get(self, job_id: UUID) -> HeldJob | None:
        """The held job of that id."""
        return self._by_job.get(job_id)

    def of_sequence(self, sequence_id: UUID) -> HeldJob | None:
        """The held job that the engine knows by that id."""
        return self._by_sequence.get(sequence_id)

    def leave_engine(self, held: HeldJob) -> None:
        """Its slot is free again; its result may still be on the way to Postgres."""
        with self._lock:
            if held.in_engine:
                held.in_engine = False
                self._in_engine -= 1

    def let_go(self, held: HeldJob, state: State | None) -> None:
        """Ends it here and wakes who waits for it."""
        self.leave_engine(held)
        with self._lock:
            self._by_sequence.pop(held.sequence_id, None)
            if self._by_job.get(held.job.id) is held:
                del self._by_job[held.job.id]
        held.state = state
        held.ended.set()

    def snapshot(self) -> list[HeldJob]:
        """All held jobs at this moment."""
        with self._lock:
            return list(self._by_sequence.values())

    @property
    def in_engine(self) -> int:
        """Jobs that take up a slot."""
        return self._in_engine

    def __len__(self) -> int:
        return len(self._by_sequence)
