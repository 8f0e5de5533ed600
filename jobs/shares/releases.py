"""The two halves of a release, reading and writing; used by the Task Manager alone.

Between them `jobs.shares.fair_share` decides. The write is a compare-and-set on the
model's clock: if another dispatcher released since the read, it does nothing.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs.database import run
from jobs.envelopes import FlowKey, Released
from jobs.shares import statements as share_statements
from jobs.shares.fair_share import Choice, Flow, Head, choose
from jobs.states import Priority

# Flows that one release looks at by itself; with more, the caller chooses among
# them (`dispatcher.flow_book`), so that no release depends on how many there are.
MOST_FLOWS = 64
_ALL_FLOWS = 1_000_000

ModelVersion = tuple[str, int]


def release(
    engine: Engine,
    model: ModelVersion,
    target: int,
    least: int,
    among: Sequence[FlowKey] | None,
) -> Released:
    """See `TaskManager.release`."""
    seen = _look(engine, model, target, least, among)
    crowded = among is None and seen.flows >= MOST_FLOWS
    looked_at = (among or ())[: seen.flows]
    all_used = among is not None and len(looked_at) == len(among)
    if not seen.waiting:
        return Released([], crowded=crowded, virtual=dict.fromkeys(looked_at))
    floor = max(seen.floor, min(seen.released, default=seen.last))
    flows = [_flow(row, floor, seen.each) for row in seen.waiting]
    choice = choose(flows, seen.released, target)
    due = [head[0] for row in seen.waiting for head in row[-1] if head[2] is None]
    ids: list[UUID] = []
    if choice.picks or due:
        values = _decision(model, seen.epoch, max(floor, seen.last), floor, flows, choice)
        rows = run(engine, share_statements.RELEASE, values | {"due_ids": due})
        released = {row.id for row in rows}
        ids = [pick.id for pick in choice.picks if pick.id in released]
    stands: dict[FlowKey, float | None] = dict.fromkeys(looked_at)
    for index, flow in enumerate(flows):
        stands[FlowKey(flow.tenant_id, flow.priority)] = choice.virtual.get(index, flow.virtual)
    unsure = bool(ids) and (choice.unsure or all_used)
    return Released(ids, seen.backlog, unsure, crowded, stands)


def _look(
    engine: Engine, model: ModelVersion, target: int, least: int, among: Sequence[FlowKey] | None
) -> Any:
    values: dict[str, Any] = {
        "model": model[0],
        "version": model[1],
        "target": target,
        "least": least,
    }
    if among is None:
        statement = share_statements.CHOICES
        values["most_flows"] = MOST_FLOWS
    else:
        statement = share_statements.CHOICES_AMONG
        values["tenant_ids"] = [key.tenant_id for key in among]
        values["priorities"] = [key.priority.value for key in among]
    return run(engine, statement, values)[0]


def _flow(row: Sequence[Any], floor: float, each: int) -> Flow:
    tenant_id, priority, weight, virtual, fill, heads = row
    return Flow(
        tenant_id=UUID(tenant_id),
        priority=Priority(priority),
        tenant_weight=weight,
        virtual=virtual,
        fill=fill,
        heads=[
            Head(UUID(id), rank, floor if came is None else came, prompt, most)
            for id, rank, came, prompt, most in heads
        ],
        more=len(heads) >= each,
    )


def _decision(
    model: ModelVersion,
    epoch: int,
    last: float,
    floor: float,
    flows: Sequence[Flow],
    choice: Choice,
) -> dict[str, Any]:
    charged = [(flows[index], virtual) for index, virtual in choice.virtual.items()]
    return {
        "model": model[0],
        "version": model[1],
        "epoch": epoch,
        "floor": floor,
        "last": max([last, *(pick.turn for pick in choice.picks)]),
        "ids": [pick.id for pick in choice.picks],
        "turns": [pick.turn for pick in choice.picks],
        "charges": [pick.charged for pick in choice.picks],
        "tenant_ids": [flow.tenant_id for flow, _ in charged],
        "priorities": [flow.priority.value for flow, _ in charged],
        "advances": [virtual - flow.virtual for flow, virtual in charged],
    }


def waiting_flows(engine: Engine, model: ModelVersion) -> dict[FlowKey, float]:
    """See `TaskManager.waiting_flows`."""
    values = {"model": model[0], "version": model[1], "most_flows": _ALL_FLOWS}
    rows = run(engine, share_statements.FLOWS, values)
    return {FlowKey(row.tenant_id, Priority(row.priority)): row.virtual for row in rows}


def settle(engine: Engine) -> int:
    """See `TaskManager.settle`."""
    return int(run(engine, share_statements.SETTLE, {})[0].ended)
