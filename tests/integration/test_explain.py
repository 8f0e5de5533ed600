"""GET /v1/jobs/{id}/explain: one test for each reason, read from durable state."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.explain_schemas import ExplainAnswer
from jobs import leases
from jobs.database import run
from jobs.ids import new_id
from jobs.keys import Scope
from jobs.leases import Incarnation
from jobs.outlook import components
from jobs.states import State
from tests.integration.front_door import GOOD, FrontDoor, read, refusal
from tests.integration.job_samples import (
    a_worker,
    empty,
    release_all,
    rows,
    success,
    value,
    worker_died,
)

SLOTS = 8  # of `a_worker`


@pytest.fixture
def door(module_door: FrontDoor) -> FrontDoor:
    """Without jobs, workers, or anything that was ever seen."""
    empty(module_door.engine)
    return module_door


@pytest.fixture
def served(door: FrontDoor) -> FrontDoor:
    """With a dispatcher at work and a ready worker of eight slots."""
    components.seen(door.engine, components.DISPATCHER, broker_ok=True)
    a_worker_in(door, "ready")
    return door


def a_worker_in(door: FrontDoor, state: str) -> Any:
    worker_id = a_worker(door.engine)
    leases.renew(door.engine, worker_id, state=state, slots=SLOTS, stale_writes=0, lease_s=60)
    return worker_id


def explain(door: FrontDoor, id: str, **more: Any) -> ExplainAnswer:
    return read(door.get(f"/v1/jobs/{id}/explain", **more), ExplainAnswer)


def codes(told: ExplainAnswer) -> list[str]:
    assert all(reason.message for reason in told.reasons)
    return [reason.code for reason in told.reasons]


def change(door: FrontDoor, sql: str, **values: object) -> None:
    rows(door.engine, f"{sql} RETURNING 1", **values)


def moment(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def test_without_a_worker_nothing_is_known_and_it_says_so(door: FrontDoor) -> None:
    components.seen(door.engine, components.DISPATCHER, broker_ok=True)
    told = explain(door, door.accepted().id)
    assert codes(told) == ["no_worker"]
    assert (told.start.expected, told.start.unknown) == (None, "no_worker")
    assert told.finish.unknown == "no_worker"
    assert told.position is not None
    assert told.position.ahead == 0


def test_the_last_workers_end_is_told(door: FrontDoor) -> None:
    components.seen(door.engine, components.DISPATCHER, broker_ok=True)
    worker_id = a_worker(door.engine)
    process_id = value(door.engine, "SELECT process_id FROM workers WHERE id = :id", id=worker_id)
    leases.end_process(door.engine, process_id, 78)
    [reason] = explain(door, door.accepted().id).reasons
    assert "exit code 78" in reason.message
    assert "died" in reason.message


def test_a_loading_model_is_the_reason(door: FrontDoor) -> None:
    components.seen(door.engine, components.DISPATCHER, broker_ok=True)
    a_worker_in(door, "loading")
    told = explain(door, door.accepted().id)
    assert codes(told) == ["model_loading"]
    assert told.start.unknown == "model_loading"


def test_a_free_slot_means_at_once(served: FrontDoor) -> None:
    told = explain(served, served.accepted().id)
    assert codes(told) == ["starting"]
    now = moment(told.as_of)
    assert moment(told.start.earliest) == moment(told.start.expected) == now
    assert now < moment(told.start.latest) < now + timedelta(seconds=5)
    finish = told.finish
    assert now < moment(finish.earliest) < moment(finish.expected) < moment(finish.latest)


def test_a_paused_model_comes_first_and_is_worth_a_sentence(served: FrontDoor) -> None:
    id = served.accepted().id
    reason = r'{"reason": "a new disk,\nand a test\n"}'
    served.send("POST", "/v1/models/echo/pause", data=reason)
    told = explain(served, id)
    assert codes(told)[0] == "paused"
    assert "UTC: a new disk, and a test; it starts after" in told.reasons[0].message
    assert told.start.unknown == "paused"
    served.send("POST", "/v1/models/echo/resume")
    assert codes(explain(served, id)) == ["starting"]


def test_later_is_later_and_a_retry_is_a_back_off(served: FrontDoor) -> None:
    at = datetime.now(UTC) + timedelta(minutes=10)
    id = served.accepted(run_at=at.isoformat()).id
    told = explain(served, id)
    assert codes(told) == ["scheduled"]
    assert moment(told.start.earliest) >= at - timedelta(milliseconds=1)
    change(served, "UPDATE jobs SET errors = 1, attempt = 1 WHERE id = :id", id=id)
    assert codes(explain(served, id)) == ["backoff"]


def test_a_crash_loop_is_told_until_a_worker_works_in_peace(door: FrontDoor) -> None:
    components.seen(door.engine, components.DISPATCHER, broker_ok=True)
    id = door.accepted().id
    for deaths in (1, 2, 3):
        worker_died(door.engine, a_worker(door.engine))
        assert ("worker_crash_loop" in codes(explain(door, id))) == (deaths == 3)
    told = explain(door, id)
    assert codes(told) == ["worker_crash_loop", "no_worker"]
    assert told.start.unknown == "worker_crash_loop"
    proven = a_worker(door.engine)
    leases.renew(door.engine, proven, state="ready", slots=8, stale_writes=0, lease_s=60,
                 proven=True)  # fmt: skip
    assert codes(explain(door, id)) == ["starting", "worker_crash_loop"]  # for a minute more
    change(door, "UPDATE workers SET proven_at = clock_timestamp() - interval '2 minutes', "
                 "started_at = now() - interval '1 h' WHERE id = :id", id=proven)  # fmt: skip
    change(door, "UPDATE workers SET ended_at = clock_timestamp() - interval '3 minutes' "
                 "WHERE died")  # fmt: skip
    assert codes(explain(door, id)) == ["starting"]


def test_higher_classes_and_shares_are_told_apart(served: FrontDoor) -> None:
    for _ in range(SLOTS):
        served.accepted()
    release_all(served.manager)
    [worker] = rows(served.engine, "SELECT id FROM workers")
    assert len(served.manager.claim(worker.id, "echo", 1, SLOTS)) == SLOTS
    batch = served.accepted(priority="batch")
    assert codes(explain(served, batch.id)) == ["slots_busy"]
    other = served.key(Scope.JOBS, tenant="other")
    for _ in range(3):
        served.submit(GOOD | {"priority": "interactive"}, key=other)
    told = explain(served, batch.id)
    assert codes(told) == ["queued_behind_priority"]
    assert told.position is not None
    assert (told.position.ahead, told.position.higher_priority) == (3, 3)
    assert "about 3 jobs of higher priority go before it" in told.reasons[0].message
    second = served.accepted(priority="batch").id
    told = explain(served, second)
    assert told.reasons[-1].message == "about 1 job of your own goes before it"
    first = [served.accepted(priority="batch") for _ in range(4)][-1]
    told = explain(served, first.id)
    assert codes(told) == ["tenant_share", "queued_behind_priority"]
    assert told.position is not None
    assert (told.position.own, told.position.higher_priority) == (5, 3)
    assert moment(told.start.expected) > moment(told.as_of)


def test_own_jobs_are_told_apart_from_those_of_other_tenants(served: FrontDoor) -> None:
    other = served.key(Scope.JOBS, tenant="other")
    for _ in range(10):  # some of them released, some not
        served.accepted(priority="batch")
        served.submit(GOOD | {"priority": "batch"}, key=other)
    served.manager.release("echo", 1, target=8)
    last = served.accepted(priority="batch").id
    told = explain(served, last)
    assert told.position is not None
    # The other tenant's ten have the same size and weight, so all of them go first.
    assert (told.position.own, told.position.other_tenants) == (10, 10)
    assert codes(told) == ["tenant_share"]
    assert "10 jobs of your own and 10 jobs of other tenants" in told.reasons[0].message


def test_a_running_job_says_since_when_and_where(served: FrontDoor) -> None:
    id = served.accepted().id
    release_all(served.manager)
    [worker] = rows(served.engine, "SELECT id FROM workers")
    [job] = served.manager.claim(worker.id, "echo", 1, 1)
    told = explain(served, id)
    assert codes(told) == ["running"]
    assert str(worker.id) in told.reasons[0].message
    assert told.position is None
    assert told.start.earliest == told.start.latest is not None
    assert moment(told.finish.latest) > moment(told.as_of)
    served.manager.finish(worker.id, [success(job)])
    ended = explain(served, id)
    assert (ended.status, codes(ended)) == (State.SUCCEEDED, ["succeeded"])
    assert "completion tokens" in ended.reasons[0].message


def test_an_ended_job_that_never_ran_says_so(door: FrontDoor) -> None:
    id = door.accepted().id
    door.send("POST", f"/v1/jobs/{id}/cancel")
    told = explain(door, id)
    assert codes(told) == ["cancelled"]
    assert "without having run" in told.reasons[0].message
    assert told.start.unknown == "never_started"
    assert told.finish.expected is not None


def test_a_silent_dispatcher_is_a_reason(served: FrontDoor) -> None:
    id = served.accepted().id
    change(served, "UPDATE components SET seen_at = clock_timestamp() - interval '40 s'")
    told = explain(served, id)
    assert codes(told)[0] == "no_dispatcher"
    assert "40 s" in told.reasons[0].message
    assert told.start.unknown == "no_dispatcher"
    release_all(served.manager)  # let through before it fell silent
    assert codes(explain(served, id)) == ["starting"]


def test_redis_away_delays_and_stops_nothing(served: FrontDoor) -> None:
    id = served.accepted().id
    components.seen(served.engine, components.DISPATCHER, broker_ok=False)
    assert codes(explain(served, id)) == ["starting"]  # a look may fail by chance
    change(served, "UPDATE components SET broker_since = clock_timestamp() - interval '9 s'")
    told = explain(served, id)
    assert codes(told) == ["starting", "broker_down"]
    assert "run without it" in told.reasons[1].message
    assert told.start.expected is not None


def test_a_deadline_that_will_be_missed_is_told(served: FrontDoor) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    told = explain(served, served.accepted(deadline=soon.isoformat()).id)
    assert codes(told) == ["starting"]
    long = {"max_tokens": 8_000}
    told = explain(served, served.accepted(deadline=soon.isoformat(), parameters=long).id)
    assert codes(told) == ["starting", "deadline_unmeetable"]


def test_a_learned_speed_makes_the_interval_narrow(served: FrontDoor) -> None:
    id = served.accepted().id

    def width() -> timedelta:
        finish = explain(served, id).finish
        return moment(finish.latest) - moment(finish.earliest)

    guessed = width()
    run(served.engine, _clock(), {})
    assert width() < guessed / 2


def _clock() -> Any:
    from sqlalchemy import text

    return text("INSERT INTO model_clocks (model, version, slot_tokens_per_s) "
                "VALUES ('echo', 1, 200) RETURNING 1")  # fmt: skip


def test_somebody_elses_job_is_as_missing_as_none(served: FrontDoor) -> None:
    id = served.accepted().id
    other = served.key(Scope.JOBS, tenant="other")
    for asked in (id, str(new_id()), "nonsense"):
        answer = served.get(f"/v1/jobs/{asked}/explain", key=other)
        assert refusal(answer)[:2] == (404, "job_not_found")


def test_a_lone_dead_process_without_a_lease_is_recorded_once(door: FrontDoor) -> None:
    who = Incarnation(new_id(), new_id(), "echo", 1, "cpu", "here", 7, 0)
    assert leases.record_stillborn(door.engine, who, -9)
    again = Incarnation(new_id(), who.process_id, "echo", 1, "cpu", "here", 7, 0)
    assert not leases.record_stillborn(door.engine, again, -9)
    components.seen(door.engine, components.DISPATCHER)
    [reason] = explain(door, door.accepted().id).reasons
    assert "killed by signal 9" in reason.message
