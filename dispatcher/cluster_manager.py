"""The Cluster Manager: which worker hosts which model version, and how much fits.

The truth are the leases in Postgres; this is a view of them that is at most
`fresh_s` old, so that a tick does not ask for what rarely changes.
"""

import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Engine

from jobs import leases


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the live workers of one model version can hold together."""

    model: str
    version: int
    slots: int


class ClusterManager:
    """See the module."""

    def __init__(self, engine: Engine, fresh_s: float = 0.5) -> None:
        self._engine = engine
        self._fresh_s = fresh_s
        self._read_at = -fresh_s
        self._capacities: list[Capacity] = []

    def capacities(self) -> list[Capacity]:
        """Slots of each model version that a ready worker hosts. Loading and
        draining workers take no jobs and count for nothing."""
        now = time.monotonic()
        if now - self._read_at >= self._fresh_s:
            self._capacities = self._read()
            self._read_at = now
        return self._capacities

    def _read(self) -> list[Capacity]:
        slots: Counter[tuple[str, int]] = Counter()
        for worker in leases.live_workers(self._engine):
            if worker.state == "ready":
                slots[worker.model, worker.version] += worker.slots
        return [Capacity(model, version, total) for (model, version), total in slots.items()]
