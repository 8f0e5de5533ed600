"""From a job to its explanation; see `api.explain_schemas`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from api.moments import maybe
from jobs.batches.names import batch_name
from jobs.envelopes import NewJob
from jobs.errors import DeadlineUnmeetable
from jobs.outlook import look as outlook
from jobs.outlook import predictions, reasons
from jobs.outlook.estimates import Interval
from jobs.outlook.facts import Outlook, at, subject_of, subject_of_new
from jobs.outlook.reasons import Reason
from jobs.outlook.wording import clock
from jobs.states import TERMINAL, State


def explain(engine: Engine, tenant_id: UUID, job_id: UUID, now: datetime) -> dict[str, Any] | None:
    """The explanation of a tenant's job; None if there is none. What is
    foretold of a waiting job is kept, to be compared."""
    job = outlook.read_job(engine, tenant_id, job_id)
    if job is None:
        return None
    if State(job.state) in TERMINAL:
        start = _happened(job.started_at, "never_started")
        return _body(job, now, start, _happened(job.finished_at, "-"), reasons.of_ended(job))
    seen = outlook.look(engine, subject_of(job))
    finish = _interval(seen, seen.finish)
    if job.state == State.RUNNING:
        start = _happened(job.started_at, "-")
        return _body(job, seen.now, start, finish, reasons.of_running(job, seen))
    predictions.record(engine, job_id, "explain", seen)
    body = _body(job, seen.now, _interval(seen, seen.start), finish, reasons.of_waiting(job, seen))
    return body | {"position": _position(seen)}


def check_deadline(engine: Engine, new: NewJob, now: datetime) -> Outlook:
    """What is foretold of a job that is not stored yet. Raises
    `DeadlineUnmeetable` if it cannot end in time even if all goes well; what
    cannot be known (no worker, paused) is no reason to refuse."""
    seen = outlook.look(engine, subject_of_new(new, now))
    finish = None if seen.finish is None else at(seen, seen.finish.earliest)
    deadline = new.times.deadline
    if finish is not None and deadline is not None and finish > deadline:
        raise DeadlineUnmeetable(
            f"the job would end at {clock(finish)} at the earliest, after its deadline "
            f"{clock(deadline)}; nothing was stored. Give a later deadline, fewer max_tokens, or "
            'leave out "on_unmeetable"',
            param="deadline",
            earliest_finish=finish,
        )
    return seen


def _body(
    job: Any, now: datetime, start: dict[str, Any], finish: dict[str, Any], told: list[Reason]
) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "object": "explanation",
        "status": job.state,
        "model": f"{job.model}@{job.version}",
        "batch": None if job.batch_id is None else batch_name(job.batch_id),
        "as_of": maybe(now),
        "position": None,
        "start": start,
        "finish": finish,
        "reasons": [{"code": reason.code, "message": reason.message} for reason in told],
    }


def _position(seen: Outlook) -> dict[str, Any] | None:
    before = seen.before
    if before is None:
        return None
    return {
        "ahead": before.jobs,
        "more": before.more,
        "higher_priority": round(before.higher),
        "own": round(before.own),
        "other_tenants": round(before.others),
    }


def _happened(moment: datetime | None, unknown: str) -> dict[str, Any]:
    told = maybe(moment)
    code = unknown if moment is None else None
    return {"earliest": told, "expected": told, "latest": told, "unknown": code}


def _interval(seen: Outlook, interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return _happened(None, seen.unknown or "unknown")
    return {
        "earliest": maybe(at(seen, interval.earliest)),
        "expected": maybe(at(seen, interval.expected)),
        "latest": maybe(at(seen, interval.latest)),
        "unknown": None,
    }
