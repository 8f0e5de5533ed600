"""The Job Dispatcher: one tick releases the best waiting jobs and rings.

A release is a fact in Postgres, committed before any bell: a lost bell costs
at most the second after which workers with free slots look by themselves.
Safe in several processes at once.
"""

import time

from bells.celery_app import queue_name
from dispatcher.bell_ringer import BellRinger
from dispatcher.cluster_manager import Capacity, ClusterManager
from dispatcher.flow_book import FlowBook
from jobs.envelopes import Released
from jobs.failpoints import reach
from jobs.shares.releases import MOST_FLOWS
from jobs.task_manager import TaskManager

# Released and not yet claimed, as a multiple of the slots: enough that no slot
# waits for a tick, few enough that late arrivals of a better rank are not
# behind a long row that was already let through.
BUFFER = 2
# How old what a flow was charged may be, against what its jobs really used.
_SETTLE_EVERY_S = 0.25
# Rounds of one tick, each of which reads twice as many flows and of each twice as much.
_ROUNDS = 8
_FLOWS_EACH = 8
_REST_S = 0.025


class JobDispatcher:
    """See the module."""

    def __init__(
        self, task_manager: TaskManager, cluster: ClusterManager, ringer: BellRinger
    ) -> None:
        self._task_manager = task_manager
        self._cluster = cluster
        self._ringer = ringer
        self._settled_at = 0.0
        self._all_taken = False
        self._books: dict[tuple[str, int], FlowBook] = {}

    @property
    def rest_s(self) -> float:
        """How long the next tick may wait although somebody called: longer while all
        slots are taken and enough is released, since then nothing gains by it."""
        return _REST_S if self._all_taken else 0.0

    def tick(self) -> int:
        """Releases what the live workers have room for; returns how many."""
        self._all_taken = True
        now = time.monotonic()
        if now - self._settled_at >= _SETTLE_EVERY_S:
            self._settled_at = now
            self._task_manager.settle()
        return sum(self._fill(capacity) for capacity in self._cluster.capacities())

    def _fill(self, capacity: Capacity) -> int:
        model = (capacity.model, capacity.version)
        count, least = 0, 2
        for _ in range(_ROUNDS):
            reach("dispatcher.releasing")
            released = self._release(model, BUFFER * capacity.slots, least)
            count += len(released.ids)
            self._all_taken = self._all_taken and released.backlog
            # Full workers claim when a slot frees; a bell would only cost them time.
            if released.ids and not released.backlog:
                reach("dispatcher.released")
                self._ringer.ring(queue_name(*model), released.ids)
            if not released.unsure:
                break
            least *= 2
        return count

    def _release(self, model: tuple[str, int], target: int, least: int) -> Released:
        book = self._books.get(model)
        if book is None:
            released = self._task_manager.release(*model, target=target, least=least)
            if released.crowded:
                self._books[model] = FlowBook(lambda: self._task_manager.waiting_flows(*model))
            return released
        released = self._task_manager.release(
            *model, target=target, least=least, among=book.next(_FLOWS_EACH * least)
        )
        book.note(released.virtual)
        if len(book) < MOST_FLOWS // 2:
            del self._books[model]
        return released
