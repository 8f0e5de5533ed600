"""A response as numbered events, told again from any number on.

A number says where in the story it stands, not how many events were sent: an
attempt's text may come in other pieces the second time, but the event that
ends after character n has the same number. So numbers grow, with gaps, and a
reader that comes back with the last one it saw misses nothing and gets nothing
twice, without anything being kept for it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from api.job_story import Ended, Happened, JobStory, Place, Restarted, Silence, Text, beginning
from api.openai import sse
from api.openai.refusals import of_restart
from api.services import Services
from jobs.job_views import JobView
from jobs.states import State
from routing.openai.response_shapes import (
    Asked,
    as_begun,
    logprobs_of,
    message,
    part,
    response,
    status_of,
)

# Numbers of one attempt; a JavaScript client can hold 2**21 of these.
_ATTEMPT = 2**32
_CREATED, _QUEUED, _RUNNING, _ITEM, _PART = range(5)
_FIRST_TEXT = _PART

_LAST = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    # The client knows no event of its own for a cancel.
    "cancelled": "response.incomplete",
    "failed": "response.failed",
}


Numbered = tuple[str, int, dict[str, Any]]


class ResponseStory:
    """The events of one response after number `after` (-1: all of them)."""

    def __init__(self, services: Services, view: JobView, asked: Asked, after: int) -> None:
        self._view, self._asked = view, asked
        self._after = after
        self._attempt = max(0, after) // _ATTEMPT
        # Text that the reader has; 0 also before the first.
        had = max(0, max(0, after) % _ATTEMPT - _FIRST_TEXT)
        self._text_began = False
        self._length = had
        # Of tokens that no delta has told of yet. Only who reads from the beginning is
        # told token by token (`Text`); the end has all of them.
        self._logprobs: list[Mapping[str, Any]] = []
        self._resumed = had > 0
        place = Place(0, self._attempt + 1, had) if had else beginning(view)
        self._story = JobStory(services.engine, services.streams, view.id, place)
        self._id = view.id.hex

    def tell(self) -> Iterator[str]:
        """All that happens, until the job has ended. Raises `Refusal` if what
        the reader has is void."""
        for name, number, body in self._events():
            if number > self._after:
                self._after = number
                yield sse.line({"type": name, "sequence_number": number} | body, name)
            elif not name:
                yield sse.SILENCE

    def _events(self) -> Iterator[Numbered]:
        begun = as_begun(self._view, self._asked, "queued")
        yield "response.created", _CREATED, {"response": begun}
        yield "response.queued", _QUEUED, {"response": begun}
        for told in self._story.tell():
            match told:
                case Happened(place, event) if event.kind == State.RUNNING:
                    yield self._running(place)
                case Text(place, text, _, logprobs):
                    self._logprobs += () if self._resumed else logprobs
                    if text:
                        yield self._running(place)  # it may come before the event that says so
                        yield from self._grow(text)
                case Restarted():
                    raise of_restart(self._view.id)
                case Silence():
                    yield "", -1, {}
                case Ended(_, view):
                    yield from self._end(view)

    def _running(self, place: Place) -> Numbered:
        self._attempt = max(self._attempt, place.attempt - 1)
        begun = as_begun(self._view, self._asked, "in_progress")
        return "response.in_progress", _RUNNING, {"response": begun}

    def _number(self, step: int) -> int:
        return self._attempt * _ATTEMPT + step

    def _begin_text(self) -> Iterator[Numbered]:
        if self._text_began:
            return
        self._text_began = True
        item = message(self._id, None, "in_progress")
        yield "response.output_item.added", self._number(_ITEM), {"output_index": 0, "item": item}
        yield "response.content_part.added", self._number(_PART), self._at() | {"part": part("")}

    def _grow(self, text: str) -> Iterator[Numbered]:
        yield from self._begin_text()
        self._length += len(text)
        number = self._number(_FIRST_TEXT + self._length)
        told = self._at() | {"delta": text, "logprobs": self._logprobs}
        self._logprobs = []
        yield "response.output_text.delta", number, told

    def _end(self, view: JobView) -> Iterator[Numbered]:
        status = status_of(view)
        self._attempt = max(self._attempt, view.attempt - 1)
        length = self._length if view.text is None else len(view.text)
        done = self._number(_FIRST_TEXT + length)
        if view.text is not None:
            yield from self._begin_text()
            logprobs = list(logprobs_of(view))
            told = self._at() | {"text": view.text, "logprobs": logprobs}
            yield "response.output_text.done", done + 1, told
            whole = {"part": part(view.text, logprobs)}
            yield "response.content_part.done", done + 2, self._at() | whole
            item = message(self._id, view.text, status, logprobs)
            yield "response.output_item.done", done + 3, {"output_index": 0, "item": item}
        yield _LAST[status], done + 4, {"response": response(view, self._asked)}

    def _at(self) -> dict[str, Any]:
        return {"item_id": f"msg_{self._id}", "output_index": 0, "content_index": 0}
