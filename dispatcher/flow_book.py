"""The flows of a model version with more of them than one release looks at.

All that wait are listed a few times a second; between two lists the book says
which are next, so that a release costs the same with ten tenants and ten
thousand. A flow that begins to wait meanwhile is seen at the next list.
"""

import heapq
import time
from collections.abc import Callable, Mapping

from jobs.envelopes import FlowKey

_FRESH_S = 0.25


class FlowBook:
    """See the module. `read` lists all flows that wait, with their virtual times."""

    def __init__(self, read: Callable[[], dict[FlowKey, float]]) -> None:
        self._read = read
        self._read_at = -_FRESH_S
        self._flows: dict[FlowKey, float] = {}

    def next(self, most: int) -> list[FlowKey]:
        """The flows that were given least, at most that many."""
        now = time.monotonic()
        if now - self._read_at >= _FRESH_S:
            self._flows = self._read()
            self._read_at = now
        return heapq.nsmallest(most, self._flows, key=self._flows.__getitem__)

    def note(self, virtual: Mapping[FlowKey, float | None]) -> None:
        """Where flows stand after a release; None: nothing waits there any more."""
        for flow, stands in virtual.items():
            if stands is None:
                self._flows.pop(flow, None)
            else:
                self._flows[flow] = stands

    def __len__(self) -> int:
        """How many flows wait, as far as known."""
        return len(self._flows)
