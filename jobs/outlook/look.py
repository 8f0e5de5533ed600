"""What stands before a job and when it will run: facts from Postgres, put
through `jobs.outlook.estimates`. Nothing is written here, and nothing here grows with
the number of waiting jobs: counts end at `MOST_COUNTED`.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs.database import run
from jobs.outlook import crash_loops
from jobs.outlook import statements as outlook_statements
from jobs.outlook.estimates import (
    Capacity,
    Flow,
    Interval,
    ahead_of,
    service,
    start_after,
    turn_of,
)
from jobs.outlook.facts import MOST_COUNTED, Before, Outlook, Subject
from jobs.outlook.work import Work, total, work_of
from jobs.states import CLASS_WEIGHT, Priority

_MOST_FLOWS = 4_000


def read_job(engine: Engine, tenant_id: UUID, job_id: UUID) -> Any | None:
    """The row of a tenant's job, as `outlook_statements.JOB` names its columns."""
    rows = run(engine, outlook_statements.JOB, {"id": job_id, "tenant_id": tenant_id})
    return rows[0] if rows else None


def look(engine: Engine, subject: Subject) -> Outlook:
    """The outlook of a job that waits or runs."""
    keys = {"model": subject.model, "version": subject.version}
    flow = {"tenant_id": subject.tenant_id, "priority": subject.priority.value}
    model = run(engine, outlook_statements.MODEL, keys | flow)[0]
    crashes = crash_loops.read(engine, subject.model, subject.version)
    capacity = capacity_of(model)
    own = work_of(1, subject.max_tokens, model.fill, model.learned)
    if subject.running_since is not None:
        ran_s = (model.now - subject.running_since).total_seconds()
        return Outlook(model.now, model, crashes, finish=service(own, capacity).after(ran_s))
    before, released, ahead = _before(engine, subject, model)
    running = run(engine, outlook_statements.RUNNING, keys)
    busy = [service(_one(row), capacity, full=True).after(row.ran_s) for row in running]
    seen = Outlook(model.now, model, crashes, before=before, running=len(busy))
    unknown = _unknowable(seen, subject)
    if unknown is not None:
        return _with(seen, None, None, unknown)
    start = start_after(busy, released, ahead, capacity)
    if subject.run_at is not None:
        start = start.not_before(max(0.0, (subject.run_at - model.now).total_seconds()))
    return _with(seen, start, start.then(service(own, capacity)), None)


def capacity_of(model: Any) -> Capacity:
    """What can run a model version's jobs; `model` is the row of `outlook_statements.MODEL`."""
    return Capacity(model.slots, model.slot_tokens_per_s, model.speed_learned)


def _one(row: Any) -> Work:
    return work_of(1, row.max_tokens, row.fill, row.learned)


def _with(
    seen: Outlook, start: Interval | None, finish: Interval | None, unknown: str | None
) -> Outlook:
    return Outlook(
        seen.now, seen.model, seen.crashes, seen.before, seen.running, start, finish, unknown
    )


def _unknowable(seen: Outlook, subject: Subject) -> str | None:
    """The code of what makes every estimate idle, if something does."""
    model, released = seen.model, subject.turn is not None
    if model.paused_at is not None or subject.held:
        return "paused"
    if not model.ready:
        if seen.looping:
            return "worker_crash_loop"
        return "model_loading" if model.loading else "no_worker"
    return "no_dispatcher" if seen.dispatcher_missed and not released else None


def _before(engine: Engine, subject: Subject, model: Any) -> tuple[Before, Sequence[Work], Work]:
    """What goes before the subject, as counts by cause and as work: the released jobs
    one by one, and all others."""
    keys: dict[str, Any] = {
        "model": subject.model, "version": subject.version, "tenant_id": subject.tenant_id,
        "priority": subject.priority.value, "most": MOST_COUNTED,
    }  # fmt: skip
    own = Work()
    turn = subject.turn
    if turn is None:
        mine = run(engine, outlook_statements.OWN, keys | {"rank": subject.rank})[0]
        own = work_of(mine.jobs, mine.max_tokens, model.fill, model.learned,
                      more=mine.jobs >= MOST_COUNTED)  # fmt: skip
        turn = turn_of(
            max(model.virtual, _floor(mine.floor, model)),
            mine.prompt_tokens + model.fill * mine.max_tokens,
            _floor(subject.floor, model),
            subject.prompt_tokens + model.fill * subject.max_tokens,
            model.tenant_weight * CLASS_WEIGHT[subject.priority],
        )
    flows = run(engine, outlook_statements.FLOWS, keys | {"most_flows": _MOST_FLOWS})
    others = [_flow(row, model) for row in flows]
    released = run(engine, outlook_statements.RELEASED, keys | {"turn": turn})
    counted = own.jobs + sum(flow.jobs for flow in others)
    waiting = None if model.waiting is None else max(0.0, model.waiting - counted)
    cut = Work(more=any(row.cut for row in flows))
    ahead = total((own, ahead_of(turn, others, waiting), cut))
    more = ahead.more or any(flow.beyond(turn).jobs >= 1 for flow in others)
    sent = [(row, flow.before(turn).jobs) for row, flow in zip(flows, others, strict=True)]
    sent += [(row, 1.0) for row in released]
    return _whose(subject, sent, own.jobs, more=more), [_one(row) for row in released], ahead


def _whose(
    subject: Subject, sent: Sequence[tuple[Any, float]], own: float, *, more: bool
) -> Before:
    """The counted jobs by cause: of higher classes, the tenant's own, others'."""
    parts = {"higher": 0.0, "own": own, "others": 0.0}
    higher = _higher(subject.priority)
    for row, jobs in sent:
        mine = "own" if row.tenant_id == subject.tenant_id else "others"
        parts["higher" if row.priority in higher else mine] += jobs
    return Before(**parts, more=more)


def _higher(priority: Priority) -> list[str]:
    return [p.value for p in Priority if CLASS_WEIGHT[p] > CLASS_WEIGHT[priority]]


def _floor(came: float | None, model: Any) -> float:
    """Where a turn cannot begin before; a job for later has no floor until it is due."""
    return float(model.floor if came is None else came)


def _flow(row: Any, model: Any) -> Flow:
    return Flow(
        weight=row.tenant_weight * CLASS_WEIGHT[Priority(row.priority)],
        start=max(row.virtual, _floor(row.floor, model)),
        fill=row.fill,
        jobs=row.jobs,
        prompt_tokens=row.prompt_tokens,
        max_tokens=row.max_tokens,
        learned=row.learned,
        more=row.more,
    )


def samples(engine: Engine) -> Sequence[Any]:
    """Waiting jobs to foretell unasked: two for each model version at most, the
    first one of a flow that chance picks, and the one that was released last."""
    return run(engine, outlook_statements.SAMPLE, {})
