"""How jobs and the rest look on the wire; see `api.schemas`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response

from api.moments import maybe
from jobs import embeddings, token_times
from jobs.batches.names import batch_name
from jobs.choices import Choice
from jobs.endings import error_message
from jobs.job_views import Attempt, JobView
from jobs.keys import Key
from jobs.replays import Replay


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
        "batch": None if view.batch_id is None else batch_name(view.batch_id),
        "cancel_requested": view.cancel_requested,
        "erased_at": maybe(view.erased_at),
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
            "time_to_first_token_s": token_times.first_token_s(view),
            "inter_token_s": token_times.inter_token_s(view),
        },
        "urls": {"self": own, "cancel": f"{own}/cancel"},
    }


def _result(view: JobView) -> dict[str, Any] | None:
    vectors = embeddings.of_details(view.details)
    if view.text is None and not vectors:
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
        "logprobs": choices[0].logprobs if choices else None,
        "prompt_logprobs": choices[0].prompt_logprobs if choices else None,
        "choices": [_choice(choice) for choice in choices] if len(choices) > 1 else None,
        "embeddings": [embeddings.numbers(text) for text in vectors] or None,
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "text": choice.text,
        "finish_reason": choice.finish_reason,
        "logprobs": choice.logprobs,
    }


def _error(view: JobView) -> dict[str, Any] | None:
    if view.error_code is None:
        return None
    message = error_message(view)
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
        "last_used_at": maybe(shown.last_used_at),
    }
    return body if secret is None else body | {"key": secret}
