"""The Job Dispatcher: one tick releases the best waiting jobs and rings.

A release is a fact in Postgres, committed before any bell: a lost bell costs
at most the second after which workers with free slots look by themselves.
Safe in several processes at once.
"""

from bells.celery_app import queue_name
from dispatcher.bell_ringer import BellRinger
from dispatcher.cluster_manager import Capacity, ClusterManager
from jobs.failpoints import reach
from jobs.task_manager import TaskManager

# Released and not yet claimed, as a multiple of the slots: enough that no slot
# waits for a tick, few enough that late arrivals of a better rank are not
# behind a long row that was already let through.
BUFFER = 2


class JobDispatcher:
    """See the module."""

    def __init__(
        self, task_manager: TaskManager, cluster: ClusterManager, ringer: BellRinger
    ) -> None:
        self._task_manager = task_manager
        self._cluster = cluster
        self._ringer = ringer

    def tick(self) -> int:
        """Releases what the live workers have room for; returns how many."""
        return sum(self._release(capacity) for capacity in self._cluster.capacities())

    def _release(self, capacity: Capacity) -> int:
        reach("dispatcher.releasing")
        released = self._task_manager.release(
            capacity.model, capacity.version, target=BUFFER * capacity.slots
        )
        # Full workers claim when a slot frees; a bell would only cost them time.
        if released.ids and not released.backlog:
            reach("dispatcher.released")
            self._ringer.ring(queue_name(capacity.model, capacity.version), released.ids)
        return len(released.ids)
