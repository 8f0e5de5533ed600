"""What must be true of all jobs after any fault; read from Postgres."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.states import TERMINAL, TRANSITIONS, State

_JOBS = text("""
SELECT j.*, (SELECT count(*) FROM job_results r WHERE r.job_id = j.id) AS results,
       (SELECT max(r.attempt) FROM job_results r WHERE r.job_id = j.id) AS result_attempt
FROM jobs j ORDER BY j.id
""")
_EVENTS = text("SELECT job_id, kind, attempt FROM job_events ORDER BY job_id, id")
# A wish of the client, not a state.
_WISHES = {"cancel_requested"}


@dataclass(frozen=True, slots=True)
class Ledger:
    """All jobs and what happened to each of them, in order."""

    jobs: dict[UUID, Any]
    events: dict[UUID, list[str]]


def read_ledger(engine: Engine) -> Ledger:
    events: dict[UUID, list[str]] = defaultdict(list)
    for event in run(engine, _EVENTS, {}):
        events[event.job_id].append(event.kind)
    return Ledger({job.id: job for job in run(engine, _JOBS, {})}, events)


def check_history(engine: Engine) -> Ledger:
    """Every job's state is where its events lead, each step one of TRANSITIONS;
    a success has the one result of its last attempt."""
    ledger = read_ledger(engine)
    for id, job in ledger.jobs.items():
        told = ledger.events[id]
        states = [State(kind) for kind in told if kind not in _WISHES]
        assert states[0] is State.QUEUED, (id, told)
        assert all(end in TRANSITIONS[start] for start, end in pairwise(states)), (id, told)
        assert states[-1] == job.state, (id, told, job.state)
        assert states.count(State.RUNNING) == job.attempt, (id, told, job.attempt)
        least = 1 if job.state == State.SUCCEEDED else 0
        assert least <= job.results <= 1, (id, told, job.results)
        assert job.results == 0 or job.result_attempt == job.attempt, (id, told)
        assert job.state != State.SUCCEEDED or not job.cancel_requested, (id, told)
    return ledger


def check_all_ended(engine: Engine) -> Ledger:
    """`check_history`, and every job has ended, exactly once."""
    ledger = check_history(engine)
    for id, job in ledger.jobs.items():
        ends = [kind for kind in ledger.events[id] if kind in TERMINAL]
        assert len(ends) == 1, (id, job.state, ledger.events[id])
    return ledger


def unfinished(engine: Engine) -> int:
    """Jobs that wait or run."""
    query = text("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')")
    return int(run(engine, query, {})[0][0])
