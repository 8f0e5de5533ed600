"""What a client that watches a job is told, in order and without gaps.

Text comes from Redis while the job runs; what was lost on the way is told from
the result. A job that starts again after text was told says so: the client
must drop what it has.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from api.streams import Follower, StreamHub
from bells.token_stream import Delta
from jobs import job_events, job_views
from jobs.connection_errors import ServerStopping
from jobs.job_events import Event
from jobs.job_views import JobView
from jobs.logprobs import shown
from jobs.states import TERMINAL, State

# Proxies close what is silent; a client that vanished shows at the next write.
KEEP_ALIVE_S = 5.0

_ENDS = {state.value for state in TERMINAL}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader is: the last event, and how much text of which attempt,
    counted through all completions of the job."""

    event: int = 0
    attempt: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.event}.{self.attempt}.{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The place that `str` made. Raises `ValueError`."""
        event, attempt, offset = text.split(".")
        if not (event + attempt + offset).isdecimal():
            raise ValueError(text)
        return cls(int(event), int(attempt), int(offset))


def beginning(view: JobView) -> Place:
    """Where a reader begins who has nothing yet: text of earlier attempts is void
    already, and is not told to be called back."""
    return Place(attempt=view.attempt + (view.state == State.QUEUED))


@dataclass(frozen=True, slots=True)
class Happened:
    """The job's state changed, or somebody asked for its end."""

    place: Place
    event: Event


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of text, of the job's completion `choice`, and the logprobs of
    the next tokens as the result has them; one of both may be empty. Logprobs are
    told to who reads from the beginning: a place does not count them."""

    place: Place
    text: str
    choice: int = 0
    logprobs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Restarted:
    """All text so far is void: the job runs again, from the beginning."""

    place: Place


@dataclass(frozen=True, slots=True)
class Ended:
    """The job as it ended; nothing follows."""

    place: Place
    view: JobView


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing happened for `KEEP_ALIVE_S`."""


Told = Happened | Text | Restarted | Ended | Silence


class JobStory:
    """The story of one job, told to one reader from a place on."""

    def __init__(self, engine: Engine, hub: StreamHub, job_id: UUID, start: Place) -> None:
        self._engine = engine
        self._hub = hub
        self._job_id = job_id
        self._event, self._attempt, self._offset = start.event, start.attempt, start.offset
        self._token = 0

    def tell(self) -> Iterator[Told]:
        """All that happens from the place on, until the job has ended. Raises
        `ServerStopping` when this process ends first."""
        with self._hub.follow(self._job_id, after=self._event) as follower:
            if self._view().is_terminal:  # its last event may have been told before
                events = job_events.events(self._engine, [self._job_id], self._event)
                yield from self._told(events, [], ended=True)
                return
            while True:
                told = False
                for item in self._next(follower):
                    told = True
                    yield item
                    if isinstance(item, Ended):
                        return
                if self._hub.closing:
                    raise ServerStopping(
                        f"the web server stops; job {self._job_id} goes on, follow it again"
                    )
                if not told:
                    yield Silence()

    @property
    def _place(self) -> Place:
        return Place(self._event, self._attempt, self._offset)

    def _next(self, follower: Follower) -> Iterator[Told]:
        events, deltas = follower.take(KEEP_ALIVE_S)
        ended = any(event.kind in _ENDS for event in events)
        yield from self._told(events, deltas, ended=ended)

    def _told(
        self, events: Sequence[Event], deltas: Sequence[Delta], *, ended: bool
    ) -> Iterator[Told]:
        for event in events:
            self._event = event.id
            if event.kind == State.RUNNING:
                yield from self._begin(event.attempt)
            if event.kind not in _ENDS:
                yield Happened(self._place, event)
        yield from self._texts(deltas)
        if ended:
            yield from self._end()

    def _view(self) -> JobView:
        return job_views.get_many(self._engine, [self._job_id])[self._job_id]

    def _begin(self, attempt: int) -> Iterator[Told]:
        if attempt > self._attempt:
            void = self._offset > 0 or self._token > 0
            self._attempt, self._offset, self._token = attempt, 0, 0
            if void:
                yield Restarted(self._place)

    def _texts(self, deltas: Sequence[Delta]) -> Iterator[Told]:
        for delta in deltas:
            yield from self._begin(delta.attempt)
            # Before: told already. After: something is missing, the result has it.
            if delta.attempt != self._attempt:
                continue
            text, logprobs = "", []
            if delta.offset <= self._offset < delta.end:
                text = delta.text[self._offset - delta.offset :]
                self._offset = delta.end
            if delta.token <= self._token:
                logprobs = [shown(one) for one in delta.logprobs[self._token - delta.token :]]
                self._token += len(logprobs)
            if text or logprobs:
                yield Text(self._place, text, delta.choice, logprobs)

    def _end(self) -> Iterator[Told]:
        view = self._view()
        texts = [choice.text for choice in view.choices]
        logprobs = [choice.logprobs or [] for choice in view.choices]
        short = sum(map(len, texts)) < self._offset or sum(map(len, logprobs)) < self._token
        if view.attempt > self._attempt or short:
            yield from self._begin(view.attempt)
        offset, token = self._offset, self._token
        begins = zip(_beginnings(texts), _beginnings(logprobs), strict=True)
        for number, (begin, first) in enumerate(begins):
            text = texts[number][max(0, offset - begin) :]
            rest = logprobs[number][max(0, token - first) :]
            if text or rest:
                self._offset = max(self._offset, begin + len(texts[number]))
                yield Text(self._place, text, number, rest)
        yield Ended(self._place, view)


def _beginnings(parts: Sequence[Sequence[Any]]) -> list[int]:
    """Where each part begins in all of them together."""
    return list(accumulate(map(len, parts), initial=0))[:-1]
