"""The checker finds every kind of breach: each honest run doctored in one place."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.chaos.checker import RULES, Evidence, Told, check
from tests.chaos.history import Entry, History, Kind, Server
from tests.chaos.ledger import (
    Batch,
    Delivery,
    Event,
    Incarnation,
    Job,
    Key,
    Ledger,
    Line,
    Result,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TENANT, OTHER_TENANT = UUID(int=1), UUID(int=2)
FIRST, SECOND, CANCELLED = UUID(int=11), UUID(int=12), UUID(int=13)
DEAD, ALIVE = UUID(int=21), UUID(int=22)
BATCH = UUID(int=31)
CANARY = "canary of tenant one"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_job(id: UUID, **more: Any) -> Job:
    given: dict[str, Any] = {
        "id": id, "tenant_id": TENANT, "state": "succeeded", "attempt": 1, "crashes": 0,
        "errors": 0, "worker_id": ALIVE, "cancel_requested": False, "completion_tokens": 5,
        "finish_reason": "stop", "error_code": None, "replay_of": None,
    }  # fmt: skip
    return Job(**(given | more))


def an_event(id: UUID, second: float, kind: str, attempt: int = 0, worker: UUID | None = None,
             reason: str | None = None) -> Event:  # fmt: skip
    return Event(id, kind, attempt, worker, reason, at(second))


def a_worker(id: UUID, **more: Any) -> Incarnation:
    given: dict[str, Any] = {
        "id": id, "process_id": UUID(int=id.int + 100), "pid": 1, "started_at": at(0),
        "lease_until": at(100), "ended_at": None, "died": False, "stale_writes": 0,
    }  # fmt: skip
    return Incarnation(**(given | more))


def honest_ledger() -> Ledger:
    """Three jobs: one ran once, one lost its worker first, one was cancelled."""
    return Ledger(
        jobs={
            FIRST: a_job(FIRST, batch_id=BATCH),
            SECOND: a_job(SECOND, attempt=2, crashes=1, has_webhook=True),
            CANCELLED: a_job(CANCELLED, state="cancelled", cancel_requested=True),
        },
        events={
            FIRST: [
                an_event(FIRST, 1, "queued"),
                an_event(FIRST, 2, "running", 1, ALIVE),
                an_event(FIRST, 3, "succeeded", 1, ALIVE),
            ],
            SECOND: [
                an_event(SECOND, 1, "queued"),
                an_event(SECOND, 2, "running", 1, DEAD),
                an_event(SECOND, 5, "queued", 1, DEAD, "worker_died_alone"),
                an_event(SECOND, 6, "running", 2, ALIVE),
                an_event(SECOND, 7, "succeeded", 2, ALIVE),
            ],
            CANCELLED: [
                an_event(CANCELLED, 1, "queued"),
                an_event(CANCELLED, 2, "running", 1, ALIVE),
                an_event(CANCELLED, 3, "cancel_requested", 1, None, "client"),
                an_event(CANCELLED, 4, "cancelled", 1, ALIVE),
            ],
        },
        results=[Result(FIRST, 1, "hello"), Result(SECOND, 2, CANARY), Result(CANCELLED, 1, "he")],
        workers={
            DEAD: a_worker(DEAD, ended_at=at(4), died=True, stale_writes=3),
            ALIVE: a_worker(ALIVE),
        },
        keys=[Key("one", "key 1", FIRST), Key("one", "key 2", SECOND)],
        tenants={TENANT: "one", OTHER_TENANT: "two"},
        batches={BATCH: Batch(BATCH, "completed", lines=3, refused=1)},
        lines=[
            Line(BATCH, 1, "a", FIRST, refused=False, same_as=None),
            Line(BATCH, 2, "b", FIRST, refused=False, same_as=1),
            Line(BATCH, 4, None, None, refused=True, same_as=None),
        ],
        deliveries=[a_delivery()],
    )


def a_delivery(**more: Any) -> Delivery:
    given: dict[str, Any] = {
        "id": UUID(int=31), "tenant_id": TENANT, "lane": UUID(int=32), "event_id": UUID(int=33),
        "type": "job.succeeded", "subject": str(SECOND), "state": "delivered",
    }  # fmt: skip
    return Delivery(**(given | more))


def told(**more: Any) -> Told:
    """What the receiver of the second job's webhook got."""
    given = {"event": f"evt_{UUID(int=33).hex}", "type": "job.succeeded", "subject": str(SECOND),
             "state_then": "succeeded"}  # fmt: skip
    return Told(**(given | more))


def submit(key: str | None, id: UUID | None, **more: Any) -> Entry:
    status = 202 if id else None
    given: dict[str, Any] = {
        "began": 1.0,
        "ended": 1.1,
        "tenant": "one",
        "status": status,
        "text": "hello",
    } | more
    return Entry(Kind.SUBMIT, key=key, id=str(id) if id else None, **given)


def seen(id: UUID, state: str, **more: Any) -> Entry:
    given: dict[str, Any] = {
        "began": 20.0,
        "ended": 21.0,
        "tenant": "one",
        "status": 200,
        "attempt": 1,
    } | more
    return Entry(Kind.SEEN, id=str(id), state=state, **given)


def counted(began: float, state: str, *counts: int) -> Entry:
    return Entry(Kind.BATCH, began, began + 1, id=str(BATCH), state=state, counts=[*counts])


SUCCESS = seen(FIRST, "succeeded", text="hello", completion_tokens=5)


def honest_history() -> list[Entry]:
    return [
        submit("key 1", None),  # its answer was lost
        submit("key 1", FIRST),
        submit("key 2", SECOND, text=CANARY),
        submit("key 3", CANCELLED),
        submit("key 4", None, status=503, began=50, ended=51),
        submit("key 2", SECOND, text=CANARY, began=60, ended=61),
        counted(2.0, "in_progress", 3, 0, 1),
        counted(20.0, "completed", 3, 2, 1),
        Entry(Kind.FAULT, 49, 52, key=Server.POSTGRES),
        Entry(Kind.FAULT, 59, 62, key=Server.REDIS),
        seen(FIRST, "running", began=2, ended=2.1),
        SUCCESS,
        Entry(Kind.CANCEL, 3, 3.1, "one", None, 200, str(CANCELLED), "running",
              cancel_requested=True),
        seen(CANCELLED, "cancelled", text="he"),
    ]  # fmt: skip


def evidence(*more: Entry, **changed: Any) -> Evidence:
    """The honest run, and what a test adds to it or puts in a place."""
    given: dict[str, Any] = {
        "ledger": honest_ledger(),
        "history": History.of([*honest_history(), *more]),
        "redis": {"_kombu.binding.model.echo.1": "[]", "lmaas:hint:dispatcher": "[]"},
        "logs": {"web": "all is well"},
        "canaries": {"one": CANARY},
        "threads": {"web": (3, 10)},
        "told": [told(), told(state_then=None)],
    }
    return Evidence(**(given | changed))


def doctored(act: Callable[[Ledger], Any]) -> Evidence:
    """The honest run with its ledger changed."""
    ledger = honest_ledger()
    act(ledger)
    return evidence(ledger=ledger)


def job(id: UUID, **changed: Any) -> Evidence:
    return doctored(lambda ledger: ledger.jobs.update({id: replace(ledger.jobs[id], **changed)}))


def event(*more: Event) -> Evidence:
    """More events at the end of their job's story."""

    def add(ledger: Ledger) -> None:
        for one in more:
            ledger.events[one.job_id].append(one)

    return doctored(add)


def add_a_stranger(ledger: Ledger) -> None:
    """A whole honest job that no submit made."""
    id = UUID(int=50)
    ledger.jobs[id] = a_job(id)
    ledger.events[id] = [replace(one, job_id=id) for one in ledger.events[FIRST]]
    ledger.results.append(Result(id, 1, "hello"))


def other_event(id: UUID, number: int, **changed: Any) -> Evidence:
    def change(ledger: Ledger) -> None:
        ledger.events[id][number] = replace(ledger.events[id][number], **changed)

    return doctored(change)


def line(number: int, **changed: Any) -> Evidence:
    def change(ledger: Ledger) -> None:
        ledger.lines[number] = replace(ledger.lines[number], **changed)

    return doctored(change)


def broken_by(found: Evidence) -> set[str]:
    return {violation.invariant for violation in check(found).violations}


def test_an_honest_run_is_acquitted_and_counted() -> None:
    verdict = check(evidence())
    assert verdict.violations == []
    assert not verdict.is_guilty
    numbers = (verdict.accepted, verdict.lost, verdict.doubled, verdict.recovered)
    assert numbers == (3, 0, 0, 1)
    assert (verdict.stale_rejected, verdict.stale_accepted) == (3, 0)
    assert "2 succeeded" in str(verdict)
    assert "0 lost, 0 doubled, 1 recovered" in str(verdict)


GUILTY: dict[str, tuple[str, Evidence]] = {
    "an accepted job is in no table": ("I1", evidence(submit("key 9", UUID(int=99)))),
    "a job never ends": ("I1", doctored(lambda ledger: (
        ledger.jobs.update({FIRST: a_job(FIRST, state="running")}),
        ledger.events[FIRST].pop(), ledger.results.pop(0)))),
    "a job ends twice": ("I1", event(an_event(FIRST, 9, "succeeded", 1, ALIVE))),
    "a state that no event tells": ("I1", job(FIRST, state="failed")),
    "a job without a story": ("I1", doctored(lambda ledger: ledger.events.pop(FIRST))),
    "a client saw another end before": ("I2", evidence(seen(FIRST, "cancelled"))),
    "a client saw another text": ("I2", evidence(replace(SUCCESS, text="hullo"))),
    "a client saw it run after its end":
        ("I2", evidence(seen(FIRST, "running", began=30, ended=31))),
    "the end that was shown is not the ledger's": ("I2", evidence(seen(SECOND, "failed"))),
    "a finished job runs again": ("I2", event(an_event(FIRST, 9, "running", 2, ALIVE))),
    "two results": ("I3", doctored(lambda ledger: ledger.results.append(ledger.results[0]))),
    "a success without result": ("I3", doctored(lambda ledger: ledger.results.pop(0))),
    "the result of a lost attempt": ("I3", doctored(
        lambda ledger: ledger.results.__setitem__(1, Result(SECOND, 1, CANARY)))),
    "no usage": ("I3", job(FIRST, completion_tokens=None)),
    "another usage than was shown": ("I3", job(FIRST, completion_tokens=6)),
    "somebody else's text": ("I3", evidence(
        seen(SECOND, "succeeded", attempt=2, text="hello", completion_tokens=5))),
    "a result of a worker that does not hold the job":
        ("I4", other_event(FIRST, 2, worker_id=DEAD)),
    "a result of an earlier attempt": ("I4", other_event(SECOND, 4, attempt=1)),
    "a success of another worker than the row's": ("I4", job(FIRST, worker_id=DEAD)),
    "an attempt that was left out": ("I5", other_event(SECOND, 3, attempt=3)),
    "an attempt that nobody counted": ("I5", job(SECOND, attempt=1)),
    "a claim after the lease": ("I5", other_event(SECOND, 1, at=at(90))),
    "a claim before the lease": ("I5", other_event(SECOND, 1, at=at(-1))),
    "a drain that is charged": ("I5", other_event(SECOND, 2, reason="given_back")),
    "a crash that is not charged": ("I5", job(SECOND, crashes=0)),
    "a line that got lost": ("I6", doctored(lambda ledger: ledger.lines.pop(1))),
    "two lines with one id": ("I6", line(1, custom_id="a")),
    "two lines with one job": ("I6", line(1, same_as=None)),
    "a job without a line": ("I6", line(0, job_id=SECOND)),
    "a refusal that nobody counted": ("I6", line(1, refused=True)),
    "counts of more than all": ("I6", evidence(counted(5.0, "in_progress", 3, 3, 1))),
    "counts that shrink": ("I6", evidence(counted(30.0, "in_progress", 3, 1, 1))),
    "an end with open lines": ("I6", evidence(counted(30.0, "completed", 4, 2, 1))),
    "a prompt in Redis": ("I7", evidence(redis={"lmaas:hint:dispatcher": f"[{CANARY}]"})),
    "a prompt in a log": ("I7", evidence(logs={"worker": f"it said {CANARY}!"})),
    "a prompt shown to another tenant":
        ("I7", evidence(seen(UUID(int=77), "running", tenant="two", text=CANARY))),
    "a prompt in another tenant's result": ("I7", job(SECOND, tenant_id=OTHER_TENANT)),
    "one key, two ids": ("I8", evidence(submit("key 1", SECOND))),
    "one key, another job in the table": ("I8", doctored(
        lambda ledger: ledger.keys.append(Key("one", "key 3", FIRST)))),
    "a job that nobody asked for": ("I8", doctored(add_a_stranger)),
    "an end that is not told": ("I9", doctored(lambda ledger: ledger.deliveries.clear())),
    "an end that is told twice": ("I9", doctored(
        lambda ledger: ledger.deliveries.append(a_delivery(id=UUID(int=34))))),
    "an end that is told as another": ("I9", doctored(
        lambda ledger: ledger.deliveries.append(a_delivery(type="job.failed")))),
    "an end that is told before it is true": ("I9", evidence(told=[told(state_then="running")])),
    "an end that is told under another id": ("I9", evidence(told=[told(), told(event="evt_1")])),
    "a delivery that nobody heard": ("I9", evidence(told=[])),
    "a success after an acknowledged cancel": ("I10", evidence(Entry(
        Kind.CANCEL, 2, 2.1, "one", None, 200, str(FIRST), "running", cancel_requested=True))),
    "a success with a requested cancel": ("I10", job(FIRST, cancel_requested=True)),
    "a lease that was left behind": ("I11", doctored(lambda ledger: ledger.workers.update(
        {UUID(int=23): a_worker(UUID(int=23), process_id=UUID(int=122), started_at=at(9))}))),
    "a key that was left behind": ("I11", evidence(redis={"model.echo.1": "[]"})),
    "threads that were left behind": ("I11", evidence(threads={"worker": (90, 40)})),
    "a 202 without Postgres":
        ("I12", evidence(submit("key 1", FIRST, began=50, ended=51))),
    "no answer without Postgres":
        ("I12", evidence(submit("key 1", None, began=50, ended=51))),
    "a 503 without Redis":
        ("I12", evidence(submit("key 5", None, status=503, began=60, ended=61))),
}  # fmt: skip


@pytest.mark.parametrize("name", GUILTY)
def test_a_doctored_run_is_found_guilty_of_its_breach(name: str) -> None:
    invariant, found = GUILTY[name]
    assert invariant in broken_by(found), check(found)


def test_every_rule_has_a_doctored_run() -> None:
    named = {rule.__doc__.partition(" ")[0].strip(".,:") for rule in RULES if rule.__doc__}
    assert named == {invariant for invariant, _ in GUILTY.values()}
    assert len(named) == len(RULES)


def test_losses_and_doubles_are_counted() -> None:
    lost = check(evidence(submit("key 9", UUID(int=99)), submit("key 8", UUID(int=98))))
    assert (lost.lost, lost.doubled) == (2, 0)
    doubled = check(event(an_event(FIRST, 9, "succeeded", 1, ALIVE)))
    assert (doubled.lost, doubled.doubled, doubled.stale_accepted) == (0, 1, 1)


def test_answers_that_cross_a_fault_s_beginning_or_end_prove_nothing() -> None:
    late = submit("key 1", FIRST, began=51, ended=53)
    early = submit("key 6", None, status=503, began=58, ended=60)
    assert broken_by(evidence(late, early)) == set()


def test_stale_writes_are_counted_once_for_a_process_that_took_a_new_lease() -> None:
    ledger = honest_ledger()
    ledger.workers[ALIVE] = a_worker(ALIVE, process_id=UUID(int=121), stale_writes=5)
    assert ledger.stale_writes() == 5


def test_a_submit_without_a_key_whose_answer_was_lost_may_have_made_a_job() -> None:
    _, found = GUILTY["a job that nobody asked for"]
    unsure = History.of([*found.history.entries(), submit(None, None)])
    assert broken_by(replace(found, history=unsure)) == set()


def test_a_history_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    history = History.of(honest_history())
    with history.away(Server.REDIS):
        pass
    history.write(tmp_path / "history.jsonl")
    assert History.read(tmp_path / "history.jsonl").entries() == history.entries()
    assert len(history.entries(Kind.FAULT)) == 3
    assert set(history.told()) == {str(FIRST), str(SECOND), str(CANCELLED)}
