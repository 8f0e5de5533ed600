"""Waiting polls: one notifier for all of a web process.

A poll that waits costs a sleeping thread and no query of its own. It is woken
by a Redis hint, or at the latest by one batched query every half second; then
it is also seen whose client went away.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from socket import socket
from uuid import UUID

from sqlalchemy import Engine

from api.departures import Departures
from bells.hints import FINISHED, listen
from jobs import job_views
from jobs.errors import DatabaseUnavailable
from jobs.job_views import JobView
from jobs.settings import Settings

_LOOK_EVERY_S = 0.5

log = logging.getLogger(__name__)


class Waiter:
    """One poll that waits for the end of a job. `left`: its client went away; `let_go`:
    this process ends."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        self._ended = threading.Event()
        self._view: JobView | None = None
        self.left = self.let_go = False

    def wait(self, seconds: float) -> JobView | None:
        """The ended job, or None if the time is over first, or the client left."""
        self._ended.wait(seconds)
        return self._view

    def end(self, view: JobView) -> None:
        """Wakes the poll."""
        self._view = view
        self._ended.set()

    def leave(self) -> None:
        """Wakes the poll, because nobody reads what it would answer."""
        self.left = True
        self._ended.set()

    def stop(self) -> None:
        """Wakes the poll, because this process ends."""
        self.let_go = True
        self._ended.set()


class Notifier:
    """See the module. Holds at most `settings.max_waiters` polls; what it hears
    it also passes on to `tell`."""

    def __init__(
        self, engine: Engine, settings: Settings, tell: Callable[[list[UUID]], None]
    ) -> None:
        self._engine = engine
        self._tell = tell
        self._settings = settings
        self._waiters: dict[UUID, list[Waiter]] = defaultdict(list)
        self._departures: Departures[Waiter] = Departures()
        self._count = 0
        self.closing = False  # nobody may wait any more
        self._hinted: set[UUID] = set()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        ear = (settings, FINISHED, self._hear, self._stopping)
        self._threads = (
            threading.Thread(target=listen, args=ear, name="finished-ear", daemon=True),
            threading.Thread(target=self._run, name="notifier", daemon=True),
        )

    def start(self) -> None:
        """Starts the ear and the looker; both are daemons."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends both threads; polls that wait run into their time."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        for thread in self._threads:
            thread.join(timeout=5)

    def let_go(self) -> None:
        """Wakes all polls, and lets no further one wait."""
        with self._changed:
            self.closing = True
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.stop()

    @contextmanager
    def waiter(self, job_id: UUID) -> Iterator[Waiter | None]:
        """Registers a poll; register first and read the job then, so that no
        end is missed in between. None when too many wait already."""
        with self.waiters([job_id]) as waiters:
            yield waiters[0] if waiters else None

    @contextmanager
    def waiters(
        self, job_ids: Sequence[UUID], connection: socket | None = None
    ) -> Iterator[list[Waiter] | None]:
        """The same for one poll (one thread) that waits for several jobs, and no
        longer than its client does if the client's connection is given."""
        waiters = [Waiter(id) for id in job_ids]
        number = None
        with self._changed:
            admitted = self._count < self._settings.max_waiters and not self.closing
            if admitted:
                self._count += 1
                for waiter in waiters:
                    self._waiters[waiter.job_id].append(waiter)
                if connection is not None:
                    number = self._departures.watch(connection, waiters)
        try:
            yield waiters if admitted else None
        finally:
            if admitted:
                self._forget(waiters, number)

    def _forget(self, waiters: Sequence[Waiter], number: int | None) -> None:
        with self._changed:
            self._count -= 1
            if number is not None:
                self._departures.forget(number)
            for waiter in waiters:
                rest = [other for other in self._waiters[waiter.job_id] if other is not waiter]
                if rest:
                    self._waiters[waiter.job_id] = rest
                else:
                    del self._waiters[waiter.job_id]

    def _hear(self, ids: list[UUID]) -> None:
        self._tell(ids)
        with self._changed:
            wanted = [id for id in ids if id in self._waiters]
            if wanted:
                self._hinted.update(wanted)
                self._changed.notify()

    def _run(self) -> None:
        due = time.monotonic() + _LOOK_EVERY_S
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(
                    lambda: self._hinted or self._stopping.is_set(), due - time.monotonic()
                )
                # Hints that keep coming must not put off the look at all the others.
                overdue = time.monotonic() >= due
                ids = list(self._waiters if overdue else self._hinted)
                self._hinted.clear()
            if overdue:
                due = time.monotonic() + _LOOK_EVERY_S
                self._let_go()
            try:
                self._look(ids, hinted=not overdue)
            except DatabaseUnavailable as error:
                log.warning("polls wait on: %s", error.message)
                self._stopping.wait(_LOOK_EVERY_S)

    def _let_go(self) -> None:
        with self._changed:
            for waiter in self._departures.gone():
                waiter.leave()

    def _look(self, ids: list[UUID], *, hinted: bool) -> None:
        if ids and not hinted:
            ids = job_views.finished_among(self._engine, ids)
        if ids:
            self._wake(job_views.get_many(self._engine, ids).values())

    def _wake(self, views: Iterable[JobView]) -> None:
        with self._changed:
            for view in views:
                if view.is_terminal:
                    for waiter in self._waiters.get(view.id, ()):
                        waiter.end(view)
