"""The server's JSON read into frozen values.

Unknown fields are ignored, so that an older client reads a newer server.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

from lmaas.answers import (
    Attempt,
    Choice,
    Component,
    FailingChore,
    Job,
    JobError,
    Key,
    Model,
    Queue,
    Replay,
    Result,
    Timings,
    Usage,
    Worker,
)
from lmaas.errors import ServerFailed

T = TypeVar("T")
Read = Callable[[Mapping[str, Any]], T]


def answer(read: Read[T]) -> Read[T]:
    """Turns a body that is not what was asked for into an error with a name."""

    @wraps(read)
    def checked(body: Mapping[str, Any]) -> T:
        try:
            return read(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServerFailed(
                f"the answer is none of LMaaS ({type(error).__name__}: {error}); "
                "is the address right, and this package new enough?",
                status=200,
                code="not_an_answer",
            ) from error

    return checked


def read_list(body: Mapping[str, Any], read: Read[T]) -> list[T]:
    """The items of a list answer."""
    items = _items(body)
    return [read(item) for item in items]


@answer
def _items(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(body["data"])


def read_time(text: str | None) -> datetime | None:
    """A point in time, if there is one."""
    return datetime.fromisoformat(text) if text else None


@answer
def read_job(body: Mapping[str, Any]) -> Job:
    """A job from the server's JSON."""
    result, error, timings = body.get("result"), body.get("error"), body.get("timings") or {}
    return Job(
        id=body["id"],
        status=body["status"],
        task=body["task"],
        model=body["model"],
        priority=body.get("priority", "normal"),
        metadata=dict(body.get("metadata") or {}),
        attempt=body.get("attempt", 0),
        cancel_requested=body.get("cancel_requested", False),
        result=_result(result) if result else None,
        error=_error(error) if error else None,
        timings=Timings(
            queued_at=read_time(timings.get("queued_at")),
            started_at=read_time(timings.get("started_at")),
            first_token_at=read_time(timings.get("first_token_at")),
            finished_at=read_time(timings.get("finished_at")),
            time_to_first_token_s=timings.get("time_to_first_token_s"),
            inter_token_s=timings.get("inter_token_s"),
        ),
        batch=body.get("batch"),
        erased_at=read_time(body.get("erased_at")),
    )


def _result(body: Mapping[str, Any]) -> Result:
    usage = body.get("usage") or {}
    counts = [usage.get(f"{kind}_tokens", 0) for kind in ("prompt", "completion", "total")]
    # One completion is its own only choice.
    choices = [
        Choice(choice.get("text") or "", choice.get("finish_reason", ""), choice.get("logprobs"))
        for choice in body.get("choices") or [body]
    ]
    first = choices[0]
    return Result(
        first.text,
        body.get("finish_reason", ""),
        Usage(*counts),
        tuple(choices),
        tuple(tuple(vector) for vector in body.get("embeddings") or ()),
    )


def _error(body: Mapping[str, Any]) -> JobError:
    return JobError(
        message=body.get("message", ""),
        type=body.get("type", ""),
        code=body.get("code") or "unknown",
        param=body.get("param"),
    )


@answer
def read_model(body: Mapping[str, Any]) -> Model:
    """A model version from the server's JSON."""
    plain = {name: body[name] for name in ("id", "name", "version", "context_length", "engine")}
    return Model(
        **plain,
        aliases=tuple(body.get("aliases", ())),
        tasks=tuple(body.get("tasks", ())),
        size_bytes=body.get("size_bytes", 0),
        workers=body.get("workers", 0),
        paused_since=read_time((body.get("paused") or {}).get("since")),
        pause_reason=(body.get("paused") or {}).get("reason", ""),
        crash_loop_deaths=(body.get("crash_loop") or {}).get("deaths", 0),
    )


@answer
def read_worker(body: Mapping[str, Any]) -> Worker:
    """A worker from the server's JSON."""
    names = ("id", "model", "state", "device", "host", "pid", "slots", "busy")
    return Worker(**{name: body[name] for name in names})


@answer
def read_queue(body: Mapping[str, Any]) -> Queue:
    """A queue from the server's JSON."""
    return Queue(body["model"], body["queued"], body["running"], body.get("paused", False))


@answer
def read_component(body: Mapping[str, Any]) -> Component:
    """A part of the server from its JSON."""
    return Component(
        name=body["name"],
        seen_at=read_time(body["seen_at"]),
        age_s=float(body["age_s"]),
        missed=bool(body["missed"]),
        broker_ok=body.get("broker_ok"),
        failing=tuple(
            FailingChore(one["name"], one["times"], one["error"], read_time(one["since"]))
            for one in body.get("failing", ())  # an older server tells of none
        ),
    )


@answer
def read_replay(body: Mapping[str, Any]) -> Replay:
    """A replayed job from the server's JSON."""
    return Replay(body["id"], body.get("new_id"))


@answer
def read_key(body: Mapping[str, Any]) -> Key:
    """An API key from the server's JSON."""
    return Key(
        id=body["id"],
        name=body["name"],
        prefix=body.get("prefix", ""),
        scopes=tuple(body.get("scopes", ())),
        created_at=read_time(body.get("created_at")),
        expires_at=read_time(body.get("expires_at")),
        revoked_at=read_time(body.get("revoked_at")),
        last_used_at=read_time(body.get("last_used_at")),
        key=body.get("key"),
    )


@answer
def read_attempt(body: Mapping[str, Any]) -> Attempt:
    """An attempt from the server's JSON."""
    return Attempt(
        attempt=int(body["attempt"]),
        worker=body.get("worker"),
        started_at=read_time(body.get("started_at")),
        ended_at=read_time(body.get("ended_at")),
        outcome=body.get("outcome"),
        reason=body.get("reason"),
    )
