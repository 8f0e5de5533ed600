"""How jobs and the rest look on the wire; see `api.schemas`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import Response

from api.moments import maybe
from jobs.job_views import Attempt, JobView, QueueDepth
from jobs.keys import Key
from jobs.leases import Worker
from jobs.outlook.components import Component
from jobs.outlook.crash_loops import Crashes
from jobs.pauses import Pause
from jobs.replays import Replay
from models_store.catalog import ModelVersion

# Said to people whose job failed; the worker's own words stand beside it.
_DEFAULT_MESSAGE = {
    "expired_in_queue": "the job waited longer than its expires_after; it was not started",
    "deadline_exceeded": "the job's deadline passed before it had ended",
    "worker_lost": "the workers that ran this job lost their leases too often",
    "poisonous": "this job was alone in the engine each time its worker died; it is kept as a "
    "dead letter and not tried again (`lmaas dead show ID`)",
}


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is going on with all model versions."""

    workers: Sequence[Worker]
    paused: Mapping[tuple[str, int], Pause]
    crashes: Sequence[Crashes]


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON response."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Response(text, status, mimetype="application/json")


def listing(data: Iterable[Mapping[str, Any]], **more: Any) -> Response:
    """A list response."""
    return answer({"object": "list", "data": list(data), **more})


def job(view: JobView) -> dict[str, Any]:
    """A job as `JobAnswer` says."""
    own = f"/v1/jobs/{view.id}"
    return {
        "id": str(view.id),
        "object": "job",
        "status": view.state,
        "task": view.task,
        "model": f"{view.model}@{view.version}",
        "priority": view.priority,
        "metadata": view.labels,
        "attempt": view.attempt,
        "replay_of": None if view.replay_of is None else str(view.replay_of),
        "cancel_requested": view.cancel_requested,
        "result": _result(view),
        "error": _error(view),
        "timings": {
            "queued_at": maybe(view.submitted_at),
            "started_at": maybe(view.started_at),
            "first_token_at": maybe(view.first_token_at),
            "finished_at": maybe(view.finished_at),
            "run_at": maybe(view.run_at),
            "expires_at": maybe(view.expires_at),
            "deadline": maybe(view.deadline),
        },
        "urls": {"self": own, "cancel": f"{own}/cancel"},
    }


def _result(view: JobView) -> dict[str, Any] | None:
    if view.text is None:
        return None
    completion = view.completion_tokens or 0
    choices = view.choices
    return {
        "text": view.text,
        "finish_reason": view.finish_reason,
        "usage": {
            "prompt_tokens": view.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": view.prompt_tokens + completion,
        },
        "logprobs": choices[0].logprobs,
        "choices": [asdict(choice) for choice in choices] if len(choices) > 1 else None,
    }


def _error(view: JobView) -> dict[str, Any] | None:
    if view.error_code is None:
        return None
    message = view.error_message or _DEFAULT_MESSAGE.get(view.error_code, view.error_code)
    return {"message": message, "type": "server_error", "code": view.error_code, "param": None}


def replay(done: Sequence[Replay], limit: int, *, dry: bool) -> dict[str, Any]:
    """What was replayed, as `ReplayAnswer` says."""
    return {
        "object": "replay",
        "dry_run": dry,
        "data": [
            {"id": str(pair.old_id), "new_id": None if pair.new_id is None else str(pair.new_id)}
            for pair in done
        ],
        "more": len(done) == limit,
    }


def attempt(shown: Attempt) -> dict[str, Any]:
    """An attempt as `AttemptAnswer` says."""
    return {
        "attempt": shown.attempt,
        "worker": None if shown.worker_id is None else str(shown.worker_id),
        "started_at": maybe(shown.started_at),
        "ended_at": maybe(shown.ended_at),
        "outcome": shown.outcome,
        "reason": shown.reason,
    }


def model(version: ModelVersion, state: ModelState) -> dict[str, Any]:
    """A model version as `ModelAnswer` says."""
    hosts = [w for w in state.workers if (w.model, w.version) == (version.name, version.version)]
    pause = state.paused.get((version.name, version.version))
    crashes = next(
        (c for c in state.crashes if (c.model, c.version) == (version.name, version.version)), None
    )
    return {
        "id": version.reference,
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "tasks": list(version.tasks),
        "context_length": version.context_length,
        "engine": version.engine,
        "size_bytes": version.size_bytes,
        "created_at": maybe(version.created_at),
        "workers": len(hosts),
        "paused": None
        if pause is None
        else {"since": maybe(pause.paused_at), "reason": pause.reason},
        "crash_loop": None
        if crashes is None or not crashes.looping
        else {
            "deaths": crashes.deaths,
            "last_at": maybe(crashes.last_at),
            "exit_code": crashes.exit_code,
        },
    }


def worker(live: Worker) -> dict[str, Any]:
    """A worker as `WorkerAnswer` says."""
    return {
        "id": str(live.id),
        "model": f"{live.model}@{live.version}",
        "state": live.state,
        "device": live.device,
        "host": live.host,
        "pid": live.pid,
        "slots": live.slots,
        "busy": live.busy,
        "started_at": maybe(live.started_at),
        "heartbeat_at": maybe(live.heartbeat_at),
    }


def queue(depth: QueueDepth, paused: Mapping[tuple[str, int], Pause]) -> dict[str, Any]:
    """A queue as `QueueAnswer` says."""
    return {
        "model": f"{depth.model}@{depth.version}",
        "queued": depth.queued,
        "running": depth.running,
        "paused": (depth.model, depth.version) in paused,
    }


def component(shown: Component) -> dict[str, Any]:
    """A part of the system as `ComponentAnswer` says."""
    return {
        "name": shown.name,
        "seen_at": maybe(shown.seen_at),
        "age_s": round(shown.age_s, 1),
        "missed": shown.missed,
        "broker_ok": shown.broker_ok,
        "broker_since": maybe(shown.broker_since),
    }


def key(shown: Key, secret: str | None = None) -> dict[str, Any]:
    """An API key as `KeyAnswer` says."""
    body = {
        "id": str(shown.id),
        "name": shown.name,
        "prefix": shown.prefix,
        "scopes": shown.scopes,
        "created_at": maybe(shown.created_at),
        "expires_at": maybe(shown.expires_at),
        "revoked_at": maybe(shown.revoked_at),
    }
    return body if secret is None else body | {"key": secret}
