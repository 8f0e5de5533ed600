"""What a Job Handler may ask of an engine, and what an engine says back.

An engine is one loaded model with its running batch. It is driven by ONE
thread, the Model Server's, which calls `add`, `remove` and `step` in turn; no
method needs a lock. Everything here is plain data: no torch type crosses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completion tokens are chosen; `temperature` 0 is greedy.

    `top_k` 0 and `top_p` 1 switch their filter off. With a `seed` the same
    request gives the same completion, whatever else is in the batch.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to generate. `prompt` holds token ids, at least one."""

    id: UUID
    prompt: Sequence[int]
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one step added to one sequence.

    `text` is what became readable in this step (it may be empty: half of a
    multi-byte character, or the possible beginning of a stop string).
    `completion_tokens` counts all tokens generated so far. `finish_reason` is
    set on the last chunk of a sequence, which has left the batch by then.
    """

    id: UUID
    text: str
    completion_tokens: int
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """What a removed sequence had when it left: the rest of its text that no
    chunk carried yet, and its token count."""

    text: str
    completion_tokens: int


class Engine(Protocol):
    """A loaded model and its continuous batch (Orca, OSDI 2022: sequences
    join and leave between two steps)."""

    @property
    def slots(self) -> int:
        """The most sequences that may be added and not yet finished."""

    def add(self, request: Request) -> None:
        """Takes a sequence in; it joins the batch at the next step, or as
        soon as the KV cache has room for it.

        Raises `jobs.errors.PromptTooLong` if it can never fit, and leaves the
        batch as it was.
        """

    def remove(self, id: UUID) -> Partial | None:
        """Takes a sequence out at once and frees its cache; `None` if it is
        not (or no longer) here. The other sequences' tokens do not change."""

    def step(self) -> list[Chunk]:
        """Runs one bounded step (a decode of all, and prefill up to a token
        cap); returns one chunk for each sequence that gained a token."""

    @property
    def active(self) -> int:
        """Sequences added and not yet finished or removed."""
