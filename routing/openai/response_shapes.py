"""How a job looks as a response of /v1/responses."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.endings import error_code, error_message
from jobs.job_views import JobView
from jobs.states import State
from routing.openai.completion_shapes import reference, tier
from routing.openai.problems import is_clients_fault
from routing.openai.response_requests import ResponseRequest

Asked = dict[str, Any]
Logprobs = Sequence[Mapping[str, Any]]

_STATUS = {
    State.QUEUED: "queued",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.EXPIRED: "failed",
    State.CANCELLED: "cancelled",
}


def asked(body: ResponseRequest) -> Asked:
    """What is kept of a request, because every answer repeats it."""
    return {
        "route": "responses",
        "background": bool(body.background),
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "store": body.store is not False,
        "previous_response_id": body.previous_response_id,
        "text": _text(body),
        "top_logprobs": body.top_logprobs or 0,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "top_p": 1.0 if body.top_p is None else body.top_p,
    }


def _text(body: ResponseRequest) -> dict[str, Any]:
    form = None if body.text is None else body.text.format
    given = {"type": "text"} if form is None else form.model_dump(exclude_none=True)
    return {"format": given}


def is_stored(asked: Asked) -> bool:
    """Whether it can be read again by its id."""
    return bool(asked["store"]) and asked["route"] == "responses"


def response(view: JobView, asked: Asked) -> dict[str, Any]:
    """The response as it stands."""
    status = status_of(view)
    return {
        "id": f"resp_{view.id.hex}",
        "object": "response",
        "created_at": int(view.submitted_at.timestamp()),
        "completed_at": int(view.finished_at.timestamp()) if view.finished_at else None,
        "status": status,
        "error": _error(view),
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "metadata": view.labels,
        "model": reference(view),
        "output": []
        if view.text is None
        else [message(view.id.hex, view.text, status, logprobs_of(view))],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "reasoning": None,
        "service_tier": tier(view),
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
        "usage": _usage(view),
        **{name: value for name, value in asked.items() if name != "route"},
    }


def as_begun(view: JobView, asked: Asked, status: str) -> dict[str, Any]:
    """The response as it was before it had any output, for the events of that time."""
    nothing = {"completed_at": None, "error": None, "incomplete_details": None, "usage": None}
    return response(view, asked) | nothing | {"status": status, "output": []}


def status_of(view: JobView) -> str:
    """A response's status; one that was cut off at its limit is `incomplete`."""
    state = State(view.state)
    if state is State.SUCCEEDED and view.finish_reason == "length":
        return "incomplete"
    return _STATUS[state]


def logprobs_of(view: JobView) -> Logprobs:
    """Those of the text's tokens, if they were asked for."""
    return (view.choices[0].logprobs or ()) if view.choices else ()


def message(id: str, text: str | None, status: str, logprobs: Logprobs = ()) -> dict[str, Any]:
    """The one item of the output; without text it has no content yet."""
    whole = status if status in ("completed", "in_progress") else "incomplete"
    return {
        "id": f"msg_{id}",
        "type": "message",
        "role": "assistant",
        "status": whole,
        "content": [] if text is None else [part(text, logprobs)],
    }


def part(text: str, logprobs: Logprobs = ()) -> dict[str, Any]:
    """The one part of the message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def _error(view: JobView) -> dict[str, Any] | None:
    if view.state not in (State.FAILED, State.EXPIRED):
        return None
    code = error_code(view)
    return {
        "code": "invalid_prompt" if is_clients_fault(code) else "server_error",
        "message": error_message(view),
        "type": code,
    }


def _usage(view: JobView) -> dict[str, Any] | None:
    if view.completion_tokens is None:
        return None
    return {
        "input_tokens": view.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": view.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": view.prompt_tokens + view.completion_tokens,
    }
