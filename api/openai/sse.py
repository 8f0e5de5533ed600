"""Server-sent events of jobs, and what happens when their reader goes away."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from flask import Response

from api.openai.refusals import Refusal
from jobs.errors import LmaasError
from jobs.json_lines import json_line
from routing import problems

TYPE = "text/event-stream"
DONE = "data: [DONE]\n\n"
SILENCE = ": nothing new\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

log = logging.getLogger(__name__)


def line(body: dict[str, Any], event: str | None = None) -> str:
    """One event."""
    name = "" if event is None else f"event: {event}\n"
    return f"{name}data: {json_line(body).decode()}\n\n"


def respond(lines: Iterator[str], held: ExitStack) -> Response:
    """A response that streams the lines; `held` is closed when it is over,
    however it ends: also when its reader went away before the first line."""
    response = Response(lines, mimetype=TYPE, headers=_HEADERS)
    response.call_on_close(held.close)
    return response


def until_an_error(lines: Iterator[str], event: str | None = None) -> Iterator[str]:
    """The lines; what goes wrong becomes the last one, under that event's name."""
    try:
        yield from lines
    except Refusal as error:
        yield _error(error.problem.body, event)
    except LmaasError as error:
        log.warning("a stream is cut short: %s", error.message)
        yield _error(problems.of_error(error).body, event)


def _error(payload: dict[str, Any], event: str | None) -> str:
    if event is None:
        return line(payload)
    # Typed clients read the event's own fields, others look for `error`.
    return line(payload["error"] | {"type": event} | payload, event)
