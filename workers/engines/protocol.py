"""What a Job Handler may ask of an engine, and what an engine says back.

An engine is one loaded model with its running batch. It is driven by ONE
thread, the Model Server's, which calls `add`, `remove` and `step` in turn; no
method needs a lock. Everything here is plain data: no torch type crosses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar
from uuid import UUID

from jobs.errors import InvalidRequest, LmaasError
from jobs.logprobs import TokenLogprobs

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completion tokens are chosen; `temperature` 0 is greedy. With
    `max_tokens` 0 the prompt is read and nothing is generated.

    `top_k` 0, `top_p` 1 and `min_p` 0 switch their filter off. With a `seed` the
    same request gives the same completion, whatever else is in the batch.
    `logprobs` is the number of alternatives to tell with each token's logprob,
    None for no logprobs; `prompt_logprobs` is the same for the prompt's tokens, and
    with it the token that ends the text is told too. Penalties and `logit_bias`
    change the scores before temperature and filters: OpenAI's two look at the completion,
    `repetition_penalty` (CTRL, Keskar et al. 2019) at the prompt too.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)


class Constraint(Protocol):
    """Where one completion stands in its grammar."""

    def allowed(self) -> bytes:
        """For each token id a byte, 0 if that token may not come next; ids beyond may not."""

    def accept(self, token: int) -> None:
        """Moves on by a token."""

    @property
    def may_end(self) -> bool:
        """Whether the completion is whole as it stands."""

    @property
    def complete(self) -> bool:
        """Whether nothing can follow."""

    @property
    def failure(self) -> str | None:
        """Why the grammar can be followed no further, if so."""


class Grammar(Protocol):
    """What form a completion must have; completions may share it."""

    def begin(self) -> Constraint:
        """The beginning of a completion."""


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to generate. `prompt` holds token ids, at least one."""

    id: UUID
    prompt: Sequence[int]
    sampling: Sampling
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts to embed, at least one, each of at least one token id. `normalize`
    makes vectors of length 1; None leaves it to the model."""

    id: UUID
    texts: Sequence[Sequence[int]]
    normalize: bool | None = None


# What an engine may be asked for: to write, or to read.
Work = Request | Texts
_Kind = TypeVar("_Kind", Request, Texts)


def only(kind: type[_Kind], work: Work) -> _Kind:
    """The work, for an engine that does this kind alone; raises `InvalidRequest`
    for another (the router lets none through)."""
    if isinstance(work, kind):
        return work
    raise InvalidRequest("the model's engine does not do this task", param="task")


@dataclass(frozen=True, slots=True)
class Vector:
    """The embedding of text number `number`, as little-endian 32-bit floats."""

    number: int
    values: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one step added to one sequence.

    `text` is what became readable in this step (it may be empty: half of a
    multi-byte character, or the possible beginning of a stop string).
    `completion_tokens` counts all tokens generated so far. `finish_reason` is
    set on the last chunk of a sequence, which has left the batch by then, or
    else `error` if it could not go on. `logprobs` are those of this step's
    tokens, if they were asked for; the token that ends a text has none.
    `prompt_logprobs`, if they were asked for, come whole with the first chunk;
    the first is `jobs.logprobs.unforetold`.
    `vectors` are those of the texts that were read in this step.
    """

    id: UUID
    text: str
    completion_tokens: int
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: Sequence[TokenLogprobs] = ()
    error: LmaasError | None = None
    vectors: tuple[Vector, ...] = ()


@dataclass(frozen=True, slots=True)
class Partial:
    """What a removed sequence had when it left: the rest of its text that no
    chunk carried yet, and its token count."""

    text: str
    completion_tokens: int


class Engine(Protocol):
    """A loaded model and its continuous batch (Orca, OSDI 2022: sequences
    join and leave between two steps). The texts of one `Texts` count as one."""

    @property
    def slots(self) -> int:
        """The most sequences that may be added and not yet finished."""

    def add(self, request: Work) -> None:
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
        cap, or a batch of texts); returns one chunk for each sequence that gained
        by it or ended."""

    @property
    def active(self) -> int:
        """Sequences added and not yet finished or removed."""
