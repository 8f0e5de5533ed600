"""Batches that clients watch: one thread for all readers of a web process.

Twice a second it asks Postgres what has ended behind the places of all readers, in
one query. A reader that has not taken what it was given is not asked for: it costs a
bounded piece of memory, and nobody waits for it.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Engine

from jobs.batches import endings, views
from jobs.batches.endings import MOST_TOLD, Ending, Place
from jobs.batches.views import BatchView
from jobs.errors import DatabaseUnavailable

_LOOK_EVERY_S = 0.5
# Counting the lines of all watched batches may take this part of the time at most.
_COUNTING = 0.1

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Watcher:
    """One reader of one batch. `over`: all lines that it will ever have are told."""

    tenant_id: UUID
    batch_id: UUID
    place: Place
    told: list[Ending] = field(default_factory=list)
    view: BatchView | None = None
    over: bool = False
    _changed: threading.Event = field(default_factory=threading.Event)

    def give(self, told: Sequence[Ending], view: BatchView | None, *, over: bool) -> None:
        """Adds to what `take` returns."""
        self.told = [*self.told, *told]
        self.view = view or self.view
        self.over = self.over or over
        if told:
            self.place = told[-1].place
        self._changed.set()

    def wake(self) -> None:
        """Ends its waiting, although nothing was given."""
        self._changed.set()

    def wait(self, seconds: float) -> None:
        """Until something was given, at most that long."""
        self._changed.wait(seconds)
        self._changed.clear()


class BatchHub:
    """See the module."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watchers: list[Watcher] = []
        self.closing = False
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._counted: dict[UUID, BatchView] = {}
        self._count_at = 0.0
        self._thread = threading.Thread(target=self._run, name="batch-looker", daemon=True)

    def start(self) -> None:
        """Starts the thread; it is a daemon."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; streams that are open hear nothing more."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=5)

    def let_go(self) -> None:
        """Wakes all who watch: `closing` says that this process ends."""
        with self._changed:
            self.closing = True
            for watcher in self._watchers:
                watcher.wake()

    @contextmanager
    def watch(self, tenant_id: UUID, batch_id: UUID, place: Place) -> Iterator[Watcher]:
        """Tells what ends in a batch after a place; the caller knows whose it is."""
        watcher = Watcher(tenant_id, batch_id, place)
        with self._changed:
            self._watchers.append(watcher)
            self._changed.notify_all()
        try:
            yield watcher
        finally:
            with self._changed:
                self._watchers.remove(watcher)

    def take(self, watcher: Watcher, wait_s: float) -> tuple[list[Ending], BatchView | None, bool]:
        """What came since the last call, the batch if it changed, and whether it is over."""
        watcher.wait(wait_s)
        with self._changed:
            told, view = watcher.told, watcher.view
            watcher.told, watcher.view = [], None
            return told, view, watcher.over

    def _run(self) -> None:
        full = False
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._watchers or self._stopping.is_set())
                ready = [one for one in self._watchers if not one.told and not one.over]
            try:
                full = self._look(ready) if ready else False
            except DatabaseUnavailable as error:
                log.warning("streams of batches wait on: %s", error.message)
                full = False
            self._stopping.wait(0.02 if full else _LOOK_EVERY_S)

    def _look(self, ready: Sequence[Watcher]) -> bool:
        """One look for all of them; True if there is more behind what was found."""
        ids = {watcher.batch_id for watcher in ready}
        over = endings.ended_among(self._engine, ids)
        found = endings.read(self._engine, {(one.batch_id, one.place) for one in ready}, over)
        changed = self._count(ready, over)
        full = False
        with self._changed:
            for watcher in ready:
                told = found.get((watcher.batch_id, watcher.place), ())
                last = watcher.batch_id in over and len(told) < MOST_TOLD
                view = changed.get(watcher.batch_id)
                if told or view or last:
                    watcher.give(told, view, over=last)
                full = full or len(told) >= MOST_TOLD
        return full

    def _count(self, ready: Sequence[Watcher], over: set[UUID]) -> dict[UUID, BatchView]:
        """The batches that are not as they were counted last, or are over."""
        begun = time.monotonic()
        due = begun >= self._count_at
        whose = {one.batch_id: one.tenant_id for one in ready if due or one.batch_id in over}
        seen = {id: views.get(self._engine, tenant, id) for id, tenant in whose.items()}
        changed = {
            id: view
            for id, view in seen.items()
            if view is not None and (id in over or self._counted.get(id) != view)
        }
        if due:
            self._counted = {id: view for id, view in seen.items() if view is not None}
            self._count_at = time.monotonic() + (time.monotonic() - begun) / _COUNTING
        return changed
