"""What the answers about models, workers, queues and the system's parts look like."""

from typing import Literal

from pydantic import Field

from api.result_schemas import Answer


class PauseAnswer(Answer):
    """Since when a model version stands still, and why."""

    since: str
    reason: str


class CrashLoopAnswer(Answer):
    """Deaths of its workers in the last ten minutes, and the last one's exit code."""

    deaths: int
    last_at: str
    exit_code: int | None


class ModelAnswer(Answer):
    """One model version; the first four fields are those of OpenAI's clients."""

    id: str
    object: Literal["model"]
    created: int = Field(description="seconds since 1970")
    owned_by: str
    name: str
    version: int
    aliases: list[str]
    tasks: list[str]
    context_length: int
    engine: str
    size_bytes: int
    created_at: str
    workers: int = Field(description="live workers that host it")
    paused: PauseAnswer | None = Field(description="an operator paused it: nothing is started")
    crash_loop: CrashLoopAnswer | None = Field(description="its workers die again and again")


class ModelList(Answer):
    """All model versions."""

    object: Literal["list"]
    data: list[ModelAnswer]


class WorkerAnswer(Answer):
    """One live worker."""

    id: str
    model: str
    state: str
    device: str
    host: str
    pid: int
    slots: int
    busy: int
    started_at: str
    heartbeat_at: str


class WorkerList(Answer):
    """All live workers."""

    object: Literal["list"]
    data: list[WorkerAnswer]


class QueueAnswer(Answer):
    """How much of one model version waits and runs."""

    model: str
    queued: int
    running: int
    paused: bool


class QueueList(Answer):
    """All model versions with unfinished jobs."""

    object: Literal["list"]
    data: list[QueueAnswer]


class FailingChoreAnswer(Answer):
    """A kind of work of a part that fails again and again; the part's log has the place."""

    name: str
    times: int = Field(description="in a row")
    error: str
    since: str


class ComponentAnswer(Answer):
    """A part of the system that holds no lease. `missed`: silent for too long."""

    name: str
    seen_at: str
    age_s: float
    missed: bool
    broker_ok: bool | None = Field(description="whether Redis answered it; null if it never asks")
    broker_since: str | None = Field(description="since when that is so")
    failing: list[FailingChoreAnswer] = Field(description="what it does that fails")


class ComponentList(Answer):
    """All parts that ever showed themselves."""

    object: Literal["list"]
    data: list[ComponentAnswer]
