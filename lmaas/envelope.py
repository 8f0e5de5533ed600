"""The job envelope that is sent, from the ways people like to write it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lmaas.errors import BadUsage

Selected = str | datetime | None
SELECTIONS = frozenset(
    {"status", "model", "task", "error_code", "ended_since", "ended_until", "worker"}
)
# The task that follows from what the input is called.
_TASKS = {"messages": "chat", "input": "embed"}


@dataclass(frozen=True, slots=True)
class Input:
    """What a caller gave; one of `input`, `prompt`, `messages`."""

    task: str | None
    input: Mapping[str, Any] | None
    prompt: str | None
    messages: Sequence[Mapping[str, str]] | None


def envelope(
    given: Input,
    model: str,
    parameters: Mapping[str, object],
    priority: str,
    metadata: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The body of POST /v1/jobs. Parameters that are None are left to the server."""
    content = _content(given)
    task = given.task or next((_TASKS[name] for name in content if name in _TASKS), "generate")
    chosen = {name: value for name, value in parameters.items() if value is not None}
    body: dict[str, Any] = {"task": task, "model": model, "input": content, "priority": priority}
    if chosen:
        body["parameters"] = chosen
    if metadata:
        body["metadata"] = dict(metadata)
    return body


def times(
    deadline: datetime | None,
    run_at: datetime | None,
    expires_after_s: float | None,
    *,
    refuse_unmeetable: bool,
) -> dict[str, Any]:
    """The fields of a body that say when; those that were not given are left out."""
    given: dict[str, Any] = {
        "deadline": None if deadline is None else _moment("deadline", deadline),
        "run_at": None if run_at is None else _moment("run_at", run_at),
        "expires_after": expires_after_s,
        "on_unmeetable": "refuse" if refuse_unmeetable else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def chosen_jobs(selection: Mapping[str, Selected]) -> dict[str, str]:
    """A selection of jobs as the server reads it; None selects nothing."""
    unknown = set(selection) - SELECTIONS
    if unknown:
        raise BadUsage(f"jobs are not selected by {', '.join(sorted(unknown))}, only by "
                       f"{', '.join(sorted(SELECTIONS))}")  # fmt: skip
    return {
        name: _moment(name, value) if isinstance(value, datetime) else value
        for name, value in selection.items()
        if value
    }


def _moment(name: str, at: datetime) -> str:
    if at.tzinfo is None:
        raise BadUsage(f"{name} is a time without a time zone; use datetime.now(UTC) and the like")
    return at.isoformat()


def _content(given: Input) -> dict[str, Any]:
    ways = [way for way in (given.input, given.prompt, given.messages) if way is not None]
    if len(ways) != 1:
        raise BadUsage("give exactly one of prompt=, messages= and input=")
    if given.input is not None:
        return dict(given.input)
    if given.messages is not None:
        return {"messages": [dict(message) for message in given.messages]}
    if given.task == "chat":
        return {"messages": [{"role": "user", "content": given.prompt}]}
    return {"prompt": given.prompt}


def from_item(item: object) -> dict[str, object]:
    """Arguments of `submit` for one item of `map`: a text, messages, or an input object."""
    if isinstance(item, str):
        return {"prompt": item}
    if isinstance(item, Mapping):
        return {"input": item}
    if isinstance(item, Sequence) and not isinstance(item, bytes | bytearray):
        return {"messages": item}
    raise BadUsage(
        f"an item of type {type(item).__name__} is neither a prompt, a list of messages "
        "nor an input object"
    )
