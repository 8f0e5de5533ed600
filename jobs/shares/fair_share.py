"""Whose turn it is: self-clocked fair queueing of tokens between flows.

A flow is the work of one tenant in one class for one model version. Its virtual
time is the tokens it was given, divided by its weight; the next job is the one
that would end first in virtual time. So busy flows share a model by their
weights, a flow with nothing waiting leaves its share to the others and cannot
save it up, and none waits for ever. Within a flow jobs go by rank. Pure
functions; what they decide is written by `TaskManager.release`.

Sources: Golestani, "A Self-Clocked Fair Queueing Scheme" (INFOCOM 1994), for the
turn of a job; Sheng et al., "Fairness in Serving Large Language Models" (OSDI
2024), for counting tokens and for lifting the counter of a flow that comes back.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from jobs.states import CLASS_WEIGHT, Priority


@dataclass(frozen=True, slots=True)
class Head:
    """One of the next waiting jobs of a flow. `floor` is the model's virtual time
    when it came, before which its turn cannot begin; `rank` in seconds since 1970."""

    id: UUID
    rank: float
    floor: float
    prompt_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Flow:
    """One tenant's waiting work in one class, best rank first. `fill` is the
    part of `max_tokens` that its jobs are expected to use. There may be more
    jobs than `heads` if `more`."""

    tenant_id: UUID
    priority: Priority
    tenant_weight: float
    virtual: float
    fill: float
    heads: Sequence[Head]
    more: bool = False

    @property
    def weight(self) -> float:
        """The flow's part beside others."""
        return self.tenant_weight * CLASS_WEIGHT[self.priority]

    def estimate(self, job: Head) -> int:
        """Tokens that a job will probably take."""
        return max(1, job.prompt_tokens + round(self.fill * job.max_tokens))


@dataclass(frozen=True, slots=True)
class Pick:
    """A job whose turn it is, and the tokens its flow is charged for it."""

    id: UUID
    turn: float
    charged: int


@dataclass(slots=True)
class Choice:
    """What to release, in order, and where that leaves the virtual time of the
    flows concerned (by index). `unsure`: a flow may hold more that belongs here."""

    picks: list[Pick] = field(default_factory=list)
    virtual: dict[int, float] = field(default_factory=dict)
    unsure: bool = False


def choose(flows: Sequence[Flow], released: Sequence[float], target: int) -> Choice:
    """The waiting jobs that are among the best `target`, counting those that
    are released already (their turns, lowest first)."""
    choice = Choice()
    queue = [_turn(flow, index, 0, flow.virtual) for index, flow in enumerate(flows)]
    heapq.heapify(queue)
    ahead = 0  # released jobs whose turn is not after the next pick's
    while queue and len(choice.picks) + ahead < target:
        turn, _, index, number = queue[0]
        if ahead < len(released) and released[ahead] <= turn:
            ahead += 1
            continue
        flow = flows[index]
        job = flow.heads[number]
        choice.picks.append(Pick(job.id, turn, flow.estimate(job)))
        choice.virtual[index] = turn
        if number + 1 < len(flow.heads):
            heapq.heapreplace(queue, _turn(flow, index, number + 1, turn))
        else:
            choice.unsure = choice.unsure or flow.more
            heapq.heappop(queue)
    return choice


def _turn(flow: Flow, index: int, number: int, virtual: float) -> tuple[float, float, int, int]:
    """When a flow's next job would end, its rank to settle ties, and where it is."""
    job = flow.heads[number]
    start = max(virtual, job.floor)
    return start + flow.estimate(job) / flow.weight, job.rank, index, number
