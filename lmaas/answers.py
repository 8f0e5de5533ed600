"""What the server answers, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lmaas.errors import LmaasError

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Timings:
    """When what happened to a job (UTC); None for what has not happened."""

    queued_at: datetime | None
    started_at: datetime | None
    first_token_at: datetime | None
    finished_at: datetime | None
    # From the submit to the first token, and the mean between tokens after it; None before
    # the end, without enough tokens, or of a server that does not tell.
    time_to_first_token_s: float | None = None
    inter_token_s: float | None = None

    @property
    def latency_s(self) -> float | None:
        """Seconds from submit to the end, as the server saw them."""
        if self.queued_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.queued_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion. `logprobs`, if they were asked for, holds for each token its
    `token`, `bytes`, `logprob`, and the likeliest ones as `top_logprobs`."""

    text: str
    finish_reason: str
    logprobs: Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Result:
    """What the model wrote. `finish_reason` is `stop`, `length` or `cancelled`;
    `choices` are all completions, of which `text` is the first. Of the task
    `embed` there are `embeddings`, a vector of each text, and no text."""

    text: str
    finish_reason: str
    usage: Usage
    choices: tuple[Choice, ...] = ()
    embeddings: tuple[tuple[float, ...], ...] = ()

    @property
    def logprobs(self) -> Sequence[Mapping[str, Any]] | None:
        """Those of the tokens of `text`, if they were asked for."""
        return self.choices[0].logprobs if self.choices else None


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job has no result; `code` is stable."""

    message: str
    type: str
    code: str
    param: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the server knew it at the time of the answer."""

    id: str
    status: str
    task: str
    model: str
    priority: str
    metadata: Mapping[str, str]
    attempt: int
    cancel_requested: bool
    result: Result | None
    error: JobError | None
    timings: Timings
    batch: str | None = None
    # Since then metadata, result and error message are gone; in lists alone.
    erased_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the state is terminal: it never changes again."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job. `outcome` is the state it led to, None while it runs."""

    attempt: int
    worker: str | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """A model version that jobs can name; `workers` host it now."""

    id: str
    name: str
    version: int
    aliases: tuple[str, ...]
    tasks: tuple[str, ...]
    context_length: int
    engine: str
    size_bytes: int
    workers: int
    paused_since: datetime | None = None
    pause_reason: str = ""
    # Deaths of its workers in the last ten minutes, if they die again and again.
    crash_loop_deaths: int = 0


@dataclass(frozen=True, slots=True)
class Worker:
    """One process that hosts one model version; `busy` of its `slots` are in use."""

    id: str
    model: str
    state: str
    device: str
    host: str
    pid: int
    slots: int
    busy: int


@dataclass(frozen=True, slots=True)
class Queue:
    """How much waits and runs for one model version."""

    model: str
    queued: int
    running: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class FailingChore:
    """A kind of work that failed `times` in a row, and with which kind of error."""

    name: str
    times: int
    error: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the server that is no worker. `missed`: not seen for too long.
    `broker_ok`: whether Redis answered it, None if it does not ask."""

    name: str
    seen_at: datetime | None
    age_s: float
    missed: bool
    broker_ok: bool | None
    failing: tuple[FailingChore, ...] = ()


@dataclass(frozen=True, slots=True)
class Replay:
    """A finished job and the new one that repeats it; None if it was only asked."""

    id: str
    new_id: str | None


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. `key`, the secret itself, is given only by `create`."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    key: str | None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MapResult:
    """One item of `Client.map`: exactly one of `result` and `error` is set."""

    index: int
    input: object
    result: Result | None
    error: LmaasError | None
    job: Job | None = None
