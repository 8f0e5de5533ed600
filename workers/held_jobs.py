"""The jobs that a worker holds between claim and commit, in memory."""

import re
import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

from jobs.envelopes import ClaimedJob, Outcome
from jobs.ids import new_id
from jobs.states import State

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True, eq=False)
class HeldJob:
    """One claimed job and what its sequence has produced so far.

    `ended` is set when nothing more happens to the job on this worker; then
    `state` is what was committed, or None if the write was stale or the job
    was let go.
    """

    job: ClaimedJob
    # The engine's name for it: a job that is claimed again is another sequence.
    sequence_id: UUID = field(default_factory=new_id)
    parts: list[str] = field(default_factory=list)
    characters: int = 0
    completion_tokens: int = 0
    first_token_at: float | None = None
    in_engine: bool = True
    # Why its sequence is being taken out, if it is: CANCELLED or EXPIRED.
    ending: State | None = None
    state: State | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def grow(self, text: str, completion_tokens: int) -> None:
        """Takes what a step added."""
        if self.first_token_at is None and completion_tokens:
            self.first_token_at = time.monotonic()
        if text:
            self.parts.append(text)
            self.characters += len(text)
        self.completion_tokens = completion_tokens

    def outcome(self, state: State, finish_reason: str) -> Outcome:
        """How the job ended, with the text that it has by now."""
        age = None if self.first_token_at is None else time.monotonic() - self.first_token_at
        return Outcome(
            id=self.job.id,
            attempt=self.job.attempt,
            state=state,
            finish_reason=finish_reason,
            text=storable("".join(self.parts)),
            completion_tokens=self.completion_tokens,
            first_token_age_s=age,
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


def storable(text: str) -> str:
    """The text with U+FFFD for what Postgres cannot hold: NUL, lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


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
