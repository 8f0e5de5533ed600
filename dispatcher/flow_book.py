"""The flows of a model version with more of them than one release looks at.

All that wait are listed a few times a second; between two lists the book says
which are next, so that a release costs the same with ten tenants and ten
thousand. A flow that begins to wait meanwhile is seen at the next list.
"""

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from uuid import UUID

from jobs.envelopes import FlowKey

# How old a list may be; and a long one may take this part of the time.
_FRESH_S = 0.25
_LISTING = 0.05

_Place = tuple[float, UUID, str]


class FlowBook:
    """See the module. `read` lists all flows that wait, with their virtual times."""

    def __init__(self, read: Callable[[], dict[FlowKey, float]]) -> None:
        self._read = read
        self._stale_at = 0.0
        self._flows: dict[FlowKey, float] = {}
        self._order: list[_Place] = []
        self._keys: dict[tuple[UUID, str], FlowKey] = {}

    def next(self, most: int) -> list[FlowKey]:
        """The flows that were given least, least first, at most that many."""
        if time.monotonic() >= self._stale_at:
            self._list()
        return [self._keys[place[1:]] for place in self._order[:most]]

    def note(self, virtual: Mapping[FlowKey, float | None]) -> None:
        """Where flows stand after a release; None: nothing waits there any more."""
        for flow, stands in virtual.items():
            if (before := self._flows.pop(flow, None)) is not None:
                del self._order[bisect_left(self._order, _place(flow, before))]
            if stands is not None:
                self._flows[flow] = stands
                insort(self._order, _place(flow, stands))

    def __len__(self) -> int:
        """How many flows wait, as far as known."""
        return len(self._flows)

    def _list(self) -> None:
        began = time.monotonic()
        self._flows = self._read()
        self._order = sorted(_place(flow, stands) for flow, stands in self._flows.items())
        self._keys = {(flow.tenant_id, flow.priority.value): flow for flow in self._flows}
        now = time.monotonic()
        self._stale_at = now + max(_FRESH_S, (now - began) / _LISTING)


def _place(flow: FlowKey, virtual: float) -> _Place:
    return virtual, flow.tenant_id, flow.priority.value
