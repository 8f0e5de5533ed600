"""Many jobs at once over any iterable: bounded, in order, one failure alone.

Each of `in_flight` threads takes an item, submits it and waits for its end. A
thread that waits costs little, and the next item starts the moment one ends.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from operator import length_hint
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lmaas.answers import Job, MapResult
from lmaas.errors import BadUsage, LmaasError, ServerUnreachable, WaitTimeout
from lmaas.map_journal import Journal

if TYPE_CHECKING:
    from lmaas.client import Client

_POLL_S = 20.0
_LAST_S = 5.0
# Jobs of one item that earlier runs left behind without a result.
_MOST_LEFT_BEHIND = 100

# From an item to the arguments of `submit`.
Asks = Callable[[object], dict[str, object]]


class _Crew:
    """The threads and what they share."""

    def __init__(
        self,
        client: Client,
        items: Iterable[object],
        asks: Asks,
        options: Mapping[str, Any],
        in_flight: int,
        journal: Journal | None,
    ) -> None:
        self._client = client
        self._items = enumerate(items)
        self._asks = asks
        self._options = dict(options)
        self._journal = journal
        self._taking = threading.Lock()
        # Done results that nobody has taken count too: an endless input must
        # not fill the memory behind one slow item.
        self.room = threading.Semaphore(2 * in_flight)
        self.done: queue.SimpleQueue[MapResult | None] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self.broken: BaseException | None = None
        self._open: dict[int, Job] = {}
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(in_flight)]
        for thread in self.threads:
            thread.start()

    def _work(self) -> None:
        try:
            while (taken := self._take()) is not None:
                self.done.put(self._run(*taken))
        except BaseException as error:  # noqa: BLE001  a bug must not lose an item in silence
            self.broken = error
        finally:
            self.done.put(None)

    def _take(self) -> tuple[int, object] | None:
        self.room.acquire()
        with self._taking:
            if self.stopped.is_set() or self.broken is not None:
                return None
            try:
                return next(self._items, None)
            except BaseException as error:  # noqa: BLE001  the caller's iterable; raised to the caller
                self.broken = error
                return None

    def _run(self, index: int, item: object) -> MapResult:
        job: Job | None = None
        try:
            wish = {**self._options, **self._asks(item)}
            if self._journal and (known := self._journal.recall(index, wish)):
                return MapResult(index, item, known, None)
            job = self._submit(index, wish)
            self._open[index] = job
            if self.stopped.is_set():
                self._client.cancel(job)  # too late for the list that `stop` went through
            while not job.ended and not self.stopped.is_set():
                job = self._poll(job)
            if not job.ended:
                raise WaitTimeout(f"nobody waits for job {job.id} any more")
            result = self._client.result(job)
            if self._journal:
                self._journal.note(index, wish, result)
            return MapResult(index, item, result, None, job)
        except LmaasError as error:
            return MapResult(index, item, None, error, job)
        finally:
            self._open.pop(index, None)

    def _submit(self, index: int, wish: dict[str, Any]) -> Job:
        """The item's job; one that an earlier run began, if it came to something."""
        if self._journal is None:
            return self._client.submit(**wish)
        for attempt in range(_MOST_LEFT_BEHIND):
            key = self._journal.key(index, wish, attempt)
            job = self._client.submit(**{**wish, "idempotency_key": key})
            if not job.ended or (job.result is not None and job.status == "succeeded"):
                return job
        raise BadUsage(f"item {index} failed in {_MOST_LEFT_BEHIND} runs; use another journal")

    def _poll(self, job: Job) -> Job:
        seen = self._client.get(job.id, wait_s=_POLL_S)
        if not seen.ended:
            self.stopped.wait(0.1)
        return seen

    def stop(self) -> None:
        """Takes nothing more, cancels what is in flight, and lets the threads end."""
        self.stopped.set()
        self.room.release(2 * len(self.threads))
        for job in list(self._open.values()):
            try:
                self._client.cancel(job)
            except ServerUnreachable:
                break
            except LmaasError:
                continue
        deadline = time.monotonic() + _LAST_S
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def map_jobs(
    client: Client,
    items: Iterable[object],
    asks: Asks,
    options: Mapping[str, Any],
    in_flight: int,
    *,
    progress: bool,
    ordered: bool,
    journal: Journal | None,
) -> Iterator[MapResult]:
    """See `Client.map`."""
    total = length_hint(items, -1)
    bar = _bar(shown=progress)
    with ExitStack() as closing, bar:
        if journal is not None:
            closing.enter_context(journal)
        row = bar.add_task("jobs", total=total if total >= 0 else None)
        crew = _Crew(client, items, asks, options, in_flight, journal)
        try:
            for result in _collect(crew, ordered=ordered):
                crew.room.release()
                bar.advance(row)
                yield result
        finally:
            crew.stop()
        if crew.broken is not None:
            raise crew.broken


def _collect(crew: _Crew, *, ordered: bool) -> Iterator[MapResult]:
    early: dict[int, MapResult] = {}
    at_work, expected = len(crew.threads), 0
    while at_work:
        result = crew.done.get()
        if result is None:
            at_work -= 1
            # One thread that finds nothing left wakes those that wait for room.
            crew.room.release()
        elif not ordered:
            yield result
        else:
            early[result.index] = result
            while expected in early:
                yield early.pop(expected)
                expected += 1


def _bar(*, shown: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not (shown and sys.stderr.isatty()),
        transient=True,
    )
