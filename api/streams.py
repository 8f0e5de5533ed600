"""Jobs that clients watch: what happens to them and the text they produce.

One hub for a web process: one thread reads all token streams from Redis, one
looks up the events of all watched jobs in Postgres, twice a second and
whenever a hint says that one ended. A stream costs a sleeping thread.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from prometheus_client import Histogram
from sqlalchemy import Engine

from bells import token_stream
from bells.connections import REDIS_FAULTS, listening_client
from bells.token_stream import Delta
from jobs import job_events
from jobs.errors import DatabaseUnavailable
from jobs.job_events import Event
from jobs.settings import Settings

_LOOK_EVERY_S = 0.5
# How long a reader of Redis stays with the streams it knew when it began to wait.
_READ_S = 0.1
_BEGINNING = "0"  # of a stream
# What a vanished reader may pile up; what falls out is told from the result.
_MOST_KEPT = 8_192

# As text comes out of Redis, so no slow reader is in it. What a new reader is told again
# from the beginning came at once, and is no gap.
GAPS = Histogram(
    "lmaas_stream_gap_seconds", "Between pieces of a stream's text as they reach the web process",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)  # fmt: skip

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Follower:
    """One reader of one job. `take` gives what has come since the last call."""

    job_id: UUID
    after: int
    events: deque[Event] = field(default_factory=deque)
    deltas: deque[Delta] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    changed: threading.Event = field(default_factory=threading.Event)

    def take(self, wait_s: float) -> tuple[list[Event], list[Delta]]:
        """Waits until something comes, at most that long."""
        self.changed.wait(wait_s)
        self.changed.clear()
        return list(_drain(self.events)), list(_drain(self.deltas))


class StreamHub:
    """See the module."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._followers: dict[UUID, list[Follower]] = defaultdict(list)
        self._positions: dict[UUID, str] = {}
        self._heard: dict[UUID, float] = {}
        self._hinted = False
        self.closing = False
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads = (
            threading.Thread(target=self._read_tokens, name="token-ear", daemon=True),
            threading.Thread(target=self._look_at_events, name="event-looker", daemon=True),
        )

    def start(self) -> None:
        """Starts both threads; they are daemons."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends both threads; streams that are open hear nothing more."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def let_go(self) -> None:
        """Wakes all who follow: `closing` says that this process ends."""
        with self._changed:
            self.closing = True
            for followers in self._followers.values():
                for follower in followers:
                    follower.changed.set()

    @contextmanager
    def follow(self, job_id: UUID, *, after: int = 0) -> Iterator[Follower]:
        """Watches a job: its events since `after`, and its text from the
        beginning, as far as it still is in Redis."""
        follower = Follower(job_id, after)
        with self._changed:
            self._followers[job_id].append(follower)
            self._positions[job_id] = _BEGINNING  # for all who follow it
            self._hinted = True
            self._changed.notify_all()
        try:
            yield follower
        finally:
            with self._changed:
                rest = [other for other in self._followers[job_id] if other is not follower]
                if rest:
                    self._followers[job_id] = rest
                else:
                    del self._followers[job_id]
                    self._positions.pop(job_id, None)
                    self._heard.pop(job_id, None)

    def hear(self, ids: Sequence[UUID]) -> None:
        """A hint: something happened to these jobs."""
        with self._changed:
            if any(id in self._followers for id in ids):
                self._hinted = True
                self._changed.notify_all()

    def _read_tokens(self) -> None:
        client = listening_client(self._settings, _READ_S)
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._positions or self._stopping.is_set())
                positions = dict(self._positions)
            try:
                before = dict(positions)
                for job_id, deltas in token_stream.read(client, positions, _READ_S):
                    self._hand_out(job_id, deltas, before[job_id], positions[job_id])
            except REDIS_FAULTS as error:
                log.debug("token streams are interrupted: %s", type(error).__name__)
                self._stopping.wait(_LOOK_EVERY_S)
        client.close()

    def _hand_out(self, job_id: UUID, deltas: Sequence[Delta], before: str, now: str) -> None:
        with self._changed:
            # Unless a new follower wants it from the start meanwhile.
            if self._positions.get(job_id) == before:
                self._positions[job_id] = now
                self._measure(job_id, again=before == _BEGINNING)
            for follower in self._followers.get(job_id, ()):
                follower.deltas.extend(deltas)
                follower.changed.set()

    def _measure(self, job_id: UUID, *, again: bool) -> None:
        heard, self._heard[job_id] = self._heard.get(job_id), time.monotonic()
        if heard is not None and not again:
            GAPS.observe(self._heard[job_id] - heard)

    def _look_at_events(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(
                    lambda: self._hinted or self._stopping.is_set(), _LOOK_EVERY_S
                )
                self._hinted = False
                followers = [one for all_of in self._followers.values() for one in all_of]
            try:
                self._look(followers)
            except DatabaseUnavailable as error:
                log.warning("streams wait on: %s", error.message)
                self._stopping.wait(_LOOK_EVERY_S)

    def _look(self, followers: Sequence[Follower]) -> None:
        if not followers:
            return
        after = min(follower.after for follower in followers)
        ids = list({follower.job_id for follower in followers})
        found: dict[UUID, list[Event]] = defaultdict(list)
        for event in job_events.events(self._engine, ids, after):
            found[event.job_id].append(event)
        for follower in followers:
            new = [event for event in found[follower.job_id] if event.id > follower.after]
            if new:
                follower.after = new[-1].id
                follower.events.extend(new)
                follower.changed.set()


def _drain(things: deque[T]) -> Iterator[T]:
    while True:
        try:
            yield things.popleft()
        except IndexError:
            return
