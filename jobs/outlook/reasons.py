"""Why a job is where it is: codes and sentences, from facts alone.

All that hold are told, the one that decides first. What to do about each at
night stands in docs/operations.md under the same code.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.outlook.facts import Outlook, at
from jobs.outlook.wording import clock, count, exit_of, go, jobs_of, seconds
from jobs.states import State

# Redis is missed when it has not answered for this long; a look may fail by chance.
_BROKER_MISSED_S = 4.0

_NO_CAUSES = frozenset({"broker_down", "deadline_unmeetable"})
_ENDED = {
    State.SUCCEEDED: "it succeeded",
    State.FAILED: "it failed",
    State.CANCELLED: "it was cancelled",
    State.EXPIRED: "its time was over",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code, and a sentence for a person."""

    code: str
    message: str


def of_ended(job: Any) -> list[Reason]:
    """What became of a job that has ended."""
    state = State(job.state)
    runs = f"after {job.attempt} attempt{'' if job.attempt == 1 else 's'}"
    if not job.attempt:
        runs = "without having run"
    detail = f", {job.error_code}" if job.error_code else ""
    if state is State.SUCCEEDED:
        detail = f", {job.completion_tokens} completion tokens, finished by {job.finish_reason}"
    message = f"{_ENDED[state]} at {clock(job.finished_at)} {runs}{detail}; this never changes"
    return [Reason(job.error_code or state.value, message)]


def of_running(job: Any, seen: Outlook) -> list[Reason]:
    """What a running job does."""
    wish = "; a cancel was requested and ends it at the next step" if job.cancel_requested else ""
    found = [
        Reason(
            "running",
            f"it has been running for {seconds(_since(seen, job.started_at))} on worker "
            f"{job.worker_id}, attempt {job.attempt}{wish}",
        )
    ]
    return found + _deadline(job, seen)


def of_waiting(job: Any, seen: Outlook) -> list[Reason]:
    """Why a job waits, the main reason first."""
    loop = _crash_loop(job, seen)
    # A worker that finished a job since works as it should, for all one knows.
    past = bool(seen.model.ready and seen.crashes and not seen.crashes.since_proof)
    found = [
        *_paused(job, seen),
        *_later(job, seen),
        *([] if past else loop),
        *_workers(job, seen),
        *_dispatcher(job, seen),
        *_turn(job, seen),
        *(loop if past else []),
        *_deadline(job, seen),
        *_broker(seen),
    ]
    # A Redis that is away, or a deadline, is never why a job does not start now.
    if all(one.code in _NO_CAUSES or (past and one in loop) for one in found):
        found.insert(0, Reason("starting", "a slot is free; it starts within a second or two"))
    return found


def _paused(job: Any, seen: Outlook) -> list[Reason]:
    found = []
    if seen.model.paused_at is not None:
        reason = " ".join((seen.model.pause_reason or "").split())
        why = f": {reason}" if reason else ""
        message = f"an operator paused this model version at {clock(seen.model.paused_at)}{why}; "
        found.append(Reason("paused", message + "it starts after `lmaas models resume`"))
    if job.held:
        found.append(Reason("paused", "its batch is paused; it starts after `lmaas batch resume`"))
    return found


def _later(job: Any, seen: Outlook) -> list[Reason]:
    if job.run_at is None or job.run_at <= seen.now:
        return []
    when = f"{clock(job.run_at)}, in {seconds(-_since(seen, job.run_at))}"
    if job.errors:
        return [
            Reason(
                "backoff", f"attempt {job.attempt} ended in an error; it is tried again at {when}"
            )
        ]
    return [Reason("scheduled", f"it was submitted to run not before {when}")]


def _crash_loop(job: Any, seen: Outlook) -> list[Reason]:
    crashes = seen.crashes
    if crashes is None or not crashes.looping:
        return []
    return [
        Reason(
            "worker_crash_loop",
            f"{crashes.deaths} workers of {job.model}@{job.version} died within 10 minutes, the "
            f"last one at {clock(crashes.last_at)}{exit_of(crashes.exit_code)}; the next one "
            "proves its engine and takes one job alone before it takes more",
        )
    ]


def _workers(job: Any, seen: Outlook) -> list[Reason]:
    model, name = seen.model, f"{job.model}@{job.version}"
    if model.ready:
        return []
    if model.loading:
        since = seconds(_since(seen, model.loading_since))
        return [Reason("model_loading", f"a worker has been loading {name} for {since}")]
    if model.draining:
        return [Reason("no_worker", f"the only workers of {name} are stopping and take no job")]
    last = ""
    if model.last_ended_at is not None:
        how = "died" if model.last_died else "ended"
        last = f"; the last one {how} at {clock(model.last_ended_at)}"
        last += exit_of(model.last_exit_code)
    return [Reason("no_worker", f"no worker hosts {name}{last}")]


def _dispatcher(job: Any, seen: Outlook) -> list[Reason]:
    if not seen.dispatcher_missed or job.released_at is not None:
        return []
    age_s = seen.model.dispatcher_age_s
    when = "was ever seen" if age_s is None else f"has been seen for {seconds(age_s)}"
    return [Reason("no_dispatcher", f"no dispatcher {when}; nothing is released until one runs")]


def _turn(job: Any, seen: Outlook) -> list[Reason]:
    before = seen.before
    if before is None or job.held or not seen.model.ready or (job.run_at or seen.now) > seen.now:
        return []
    if job.suspect_group is not None:
        return [
            Reason(
                "suspect",
                "it was in a worker that died; it runs again apart from the others, "
                "as soon as a worker is idle",
            )
        ]
    higher, rest = round(before.higher), round(before.own + before.others)
    found = []
    if higher:
        text = f"about {count(higher)} {jobs_of(higher)} of higher priority {go(higher)} before it"
        found.append((before.higher, Reason("queued_behind_priority", text)))
    if rest:
        found.append((before.own + before.others, Reason("tenant_share", _share(seen))))
    found.sort(key=lambda item: -item[0])
    busy = seen.running >= seen.model.slots
    if not found and busy:
        text = f"it is next; all {seen.model.slots} slots are in use"
        return [Reason("slots_busy", text)]
    # With free slots, what goes before it is about to start, and so is it.
    return [reason for _, reason in found] if busy or before.jobs >= seen.model.slots else []


def _share(seen: Outlook) -> str:
    before = seen.before
    own, others = round(before.own if before else 0), round(before.others if before else 0)
    told = []
    if own:
        told.append(f"{count(own)} {jobs_of(own)} of your own")
    if others:
        told.append(f"{count(others)} {jobs_of(others)} of other tenants, by their fair shares,")
    more = "more than" if before and before.more else "about"
    return f"{more} {' and '.join(told)} {go(own + others)} before it"


def _deadline(job: Any, seen: Outlook) -> list[Reason]:
    if job.deadline is None or seen.finish is None:
        return []
    finish = at(seen, seen.finish.earliest)
    if finish is None or finish <= job.deadline:
        return []
    return [
        Reason(
            "deadline_unmeetable",
            f"its deadline is {clock(job.deadline)}, and it ends at {clock(finish)} at the "
            "earliest; it will expire, with the text it has by then",
        )
    ]


def _broker(seen: Outlook) -> list[Reason]:
    model = seen.model
    if model.broker_ok is not False or _since(seen, model.broker_since) < _BROKER_MISSED_S:
        return []
    return [
        Reason(
            "broker_down",
            f"Redis has not answered since {clock(model.broker_since)}; jobs run without it, "
            "each up to a second later",
        )
    ]


def _since(seen: Outlook, moment: datetime | None) -> float:
    return 0.0 if moment is None else (seen.now - moment).total_seconds()
