"""/metrics tells totals that never shrink and how wrong the estimates were."""

import math
import re
from dataclasses import replace
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api.metric_totals import Totals
from api.schemas import JobAnswer
from dispatcher.forgetting import keep_house
from dispatcher.observer import Observer
from jobs import counters, leases, token_times
from jobs.outlook import components, predictions
from jobs.shares.statements import SETTLE
from tests.integration.front_door import FrontDoor, read
from tests.integration.job_samples import (
    a_worker,
    at_once,
    claimed,
    empty,
    failure,
    release_all,
    rows,
    submitted,
    success,
    value,
    worker_died,
)


@pytest.fixture
def door(module_door: FrontDoor) -> FrontDoor:
    empty(module_door.engine)
    return module_door


def told(door: FrontDoor) -> str:
    """The part of /metrics that is read from Postgres."""
    registry = CollectorRegistry()
    registry.register(Totals(door.engine))
    return generate_latest(registry).decode()


def metric(door: FrontDoor, name: str, labels: str = 'model="echo@1"') -> float | None:
    found = re.search(rf"^{name}{{{re.escape(labels)}}} (\S+)$", told(door), re.MULTILINE)
    return None if found is None else float(found[1])


def age(door: FrontDoor, table: str, column: str, interval: str) -> None:
    rows(door.engine, f"UPDATE {table} SET {column} = {column} - interval '{interval}' RETURNING 1")


def end_by_every_way(door: FrontDoor) -> None:
    """One job cancelled, one expired, one failed, one lost with a dead worker."""
    door.send("POST", f"/v1/jobs/{door.accepted().id}/cancel")
    door.accepted(expires_after=0.001)
    while not door.manager.expire():
        pass
    door.accepted()
    release_all(door.manager)
    worker_id = a_worker(door.engine)
    door.manager.claim(worker_id, "echo", 1, 1)
    worker_died(door.engine, worker_id)
    door.manager.reclaim()


TOLD = {
    "lmaas_jobs_cancelled_total": 1,
    "lmaas_jobs_expired_total": 1,
    "lmaas_jobs_reclaimed_total": 1,
    "lmaas_crashes_charged_total": 1,
    "lmaas_worker_deaths_total": 1,
}


def test_totals_are_the_same_before_and_after_the_housekeeper(door: FrontDoor) -> None:
    end_by_every_way(door)
    assert {name: metric(door, name) for name in TOLD} == TOLD
    age(door, "job_events", "at", "1 hour")
    counters.fold(door.engine)
    counters.fold(door.engine)
    folded = rows(door.engine, "SELECT name FROM counters WHERE name = 'cancelled'")
    assert len(folded) == 1
    assert {name: metric(door, name) for name in TOLD} == TOLD
    end_by_every_way(door)
    for _ in range(2):
        assert {name: metric(door, name) for name in TOLD} == {n: 2 * v for n, v in TOLD.items()}
        age(door, "job_events", "at", "1 hour")
        counters.fold(door.engine)


def test_events_that_may_not_all_be_visible_yet_are_not_folded(door: FrontDoor) -> None:
    counters.fold(door.engine)  # makes the mark
    end_by_every_way(door)
    assert counters.fold(door.engine) == 0
    age(door, "job_events", "at", "1 hour")
    assert counters.fold(door.engine) > 0


def test_dead_letters_are_a_total_of_their_own(door: FrontDoor) -> None:
    door.accepted()
    for _ in range(3):
        release_all(door.manager)
        worker_id = a_worker(door.engine)
        assert len(door.manager.claim(worker_id, "echo", 1, 1)) == 1
        worker_died(door.engine, worker_id)
        door.manager.reclaim()
    assert metric(door, "lmaas_dead_letters_total") == 1
    assert metric(door, "lmaas_jobs_failed_total") == 1
    assert metric(door, "lmaas_crashes_charged_total") == 3
    assert metric(door, "lmaas_crash_loop") == 1


def test_a_forgotten_worker_takes_no_number_along(door: FrontDoor) -> None:
    worker_id = a_worker(door.engine)
    leases.renew(door.engine, worker_id, state="ready", slots=8, stale_writes=5, lease_s=60)
    worker_died(door.engine, worker_id)
    assert metric(door, "lmaas_stale_writes_total") == 5
    age(door, "workers", "ended_at", "8 days")
    keep_house(door.engine)
    assert rows(door.engine, "SELECT 1 FROM workers") == []
    assert metric(door, "lmaas_stale_writes_total") == 5
    assert metric(door, "lmaas_worker_deaths_total") == 1


def serve(door: FrontDoor) -> UUID:
    components.seen(door.engine, components.DISPATCHER)
    worker_id = a_worker(door.engine)
    leases.renew(door.engine, worker_id, state="ready", slots=8, stale_writes=0, lease_s=60)
    return worker_id


def test_a_prediction_is_compared_when_its_job_has_ended(door: FrontDoor) -> None:
    worker_id = serve(door)
    id = door.accepted(parameters={"max_tokens": 4}).id
    for _ in range(3):
        assert door.get(f"/v1/jobs/{id}/explain").status_code == 200
    [kept] = rows(door.engine, "SELECT * FROM predictions")
    assert (str(kept.job_id), kept.source) == (id, "explain")
    assert predictions.fold(door.engine) == 0  # it still waits
    release_all(door.manager)
    [job] = door.manager.claim(worker_id, "echo", 1, 1)
    door.manager.finish(worker_id, [success(job)])
    assert predictions.fold(door.engine) == 1
    assert predictions.fold(door.engine) == 0
    for kind in ("start", "finish"):
        labels = f'kind="{kind}",model="echo@1"'
        assert metric(door, "lmaas_estimate_error_seconds_count", labels) == 1
        assert metric(door, "lmaas_estimates_inside_total", labels) == 1
        within = f'kind="{kind}",le="10.0",model="echo@1"'
        assert metric(door, "lmaas_estimate_error_seconds_bucket", within) == 1


def test_a_prediction_that_was_wrong_is_counted_as_outside(door: FrontDoor) -> None:
    worker_id = serve(door)
    id = door.accepted().id
    door.get(f"/v1/jobs/{id}/explain")
    for column in ("start_latest", "start_expected", "start_earliest"):
        age(door, "predictions", column, "1 hour")
    release_all(door.manager)
    door.manager.finish(
        worker_id, [success(j) for j in door.manager.claim(worker_id, "echo", 1, 1)]
    )
    predictions.fold(door.engine)
    found = {row.kind: row for row in predictions.errors(door.engine)}
    assert (found["start"].count, found["start"].inside, found["start"].within_s) == (1, 0, 7_200)
    assert found["start"].error_s == pytest.approx(3_600, abs=30)
    assert found["finish"].count == 1


def test_a_cancelled_job_proves_no_estimate_wrong(door: FrontDoor) -> None:
    serve(door)
    id = door.accepted().id
    door.get(f"/v1/jobs/{id}/explain")
    door.send("POST", f"/v1/jobs/{id}/cancel")
    assert predictions.fold(door.engine) == 1
    assert predictions.errors(door.engine) == []


def test_the_dispatcher_foretells_unasked_and_old_words_are_forgotten(door: FrontDoor) -> None:
    serve(door)
    observer = Observer(door.engine, door.services.hints)
    assert observer.foretell() == 0
    ids = [door.accepted().id for _ in range(3)]
    assert observer.foretell() == 1  # the first of the only flow that waits
    release_all(door.manager)
    assert observer.foretell() == 1  # the last of the released ones
    foretold = {str(row.job_id) for row in rows(door.engine, "SELECT job_id FROM predictions")}
    assert foretold == {ids[0], ids[-1]}
    age(door, "predictions", "made_at", "8 days")
    keep_house(door.engine)
    assert rows(door.engine, "SELECT 1 FROM predictions") == []


def test_a_look_leaves_word_of_the_dispatcher_and_of_redis(door: FrontDoor) -> None:
    Observer(door.engine, door.services.hints).look()
    [seen] = components.read(door.engine)
    assert (seen.name, seen.broker_ok, seen.missed) == (components.DISPATCHER, True, False)
    age(door, "components", "seen_at", "40 seconds")
    assert components.read(door.engine)[0].missed
    assert (metric(door, "lmaas_component_age_seconds", 'component="dispatcher"') or 0) > 39


FIRST, BETWEEN = "lmaas_time_to_first_token_seconds", "lmaas_inter_token_seconds"
NORMAL = 'model="echo@1",priority="normal"'


def end(door: FrontDoor, *ends: tuple[float | None, int]) -> None:
    """Jobs that ended: how long before that the first token came, and how many there were."""
    worker_id, jobs = claimed(door.manager, door.engine, door.tenant_id, len(ends))
    door.manager.finish(
        worker_id,
        [
            replace(success(job, "x" * tokens), first_token_age_s=first_s)
            for job, (first_s, tokens) in zip(jobs, ends, strict=True)
        ],
    )


def within(door: FrontDoor, name: str) -> dict[str, float]:
    """The buckets of a histogram that hold more than the one before."""
    found = re.findall(rf'^{name}_bucket{{le="(\S+?)",{NORMAL}}} (\S+)$', told(door), re.MULTILINE)
    assert [bound for bound, _ in found][-1] == "+Inf"
    counts = [0.0, *(float(count) for _, count in found)]
    return {
        bound: count - before
        for (bound, _), count, before in zip(found, counts[1:], counts, strict=False)
        if count != before
    }


def test_times_of_tokens_of_all_jobs_are_told_once_their_ends_are_settled(door: FrontDoor) -> None:
    # Four tokens in 3.3 s after the first one, and so on; the last has no second token.
    end(door, (9.9, 4), (0.06, 4), (0.06, 4), (0.0, 1))
    rows(door.engine, "UPDATE settlements SET first_token_s = 2 RETURNING 1")
    assert door.manager.settle() == 4
    assert within(door, BETWEEN) == {"0.025": 2, "5.0": 1}
    assert metric(door, f"{BETWEEN}_count", NORMAL) == 3
    assert metric(door, f"{BETWEEN}_sum", NORMAL) == pytest.approx(3.3 + 0.02 + 0.02, abs=0.001)
    assert within(door, FIRST) == {"2.5": 4}
    assert metric(door, f"{FIRST}_sum", NORMAL) == 8
    end(door, (0.06, 4))
    door.manager.settle()
    door.manager.settle()
    assert within(door, BETWEEN) == {"0.025": 3, "5.0": 1}


def test_the_first_token_counts_from_the_acceptance(door: FrontDoor) -> None:
    [id] = submitted(door.manager, door.tenant_id)
    age(door, "jobs", "submitted_at", "20 seconds")
    release_all(door.manager)
    worker_id = a_worker(door.engine)
    [job] = door.manager.claim(worker_id, "echo", 1, 1)
    door.manager.finish(worker_id, [replace(success(job, "four"), first_token_age_s=0)])
    door.manager.settle()
    assert within(door, FIRST) == {"30.0": 1}
    told_s = read(door.get(f"/v1/jobs/{id}"), JobAnswer).timings.time_to_first_token_s
    assert told_s is not None
    assert metric(door, f"{FIRST}_sum", NORMAL) == pytest.approx(told_s, abs=0.001)
    assert 20 <= told_s < 30


def test_ends_without_a_token_are_in_no_time_of_tokens(door: FrontDoor) -> None:
    door.send("POST", f"/v1/jobs/{door.accepted().id}/cancel")
    worker_id, jobs = claimed(door.manager, door.engine, door.tenant_id, 3)
    door.manager.finish(worker_id, [failure(jobs[0]), failure(jobs[1], retryable=True)])
    door.manager.give_back(worker_id, [jobs[2].id])
    end(door, (None, 0))
    door.manager.settle()
    assert token_times.totals(door.engine) == []


def test_times_of_tokens_are_counted_once_whoever_settles_and_is_killed(door: FrontDoor) -> None:
    end(door, *[(0.06, 4)] * 20)
    with door.engine.connect() as connection:  # one that is killed before its commit
        connection.execute(SETTLE)
        connection.rollback()
    assert token_times.totals(door.engine) == []
    at_once(*[door.manager.settle] * 6)
    assert within(door, BETWEEN) == {"0.025": 20}


def test_a_time_beyond_all_bounds_and_one_of_an_old_process_do_not_stop_the_rest(
    door: FrontDoor,
) -> None:
    for told_s in ("1e30", "-1", "NULL"):
        end(door, (0.06, 4))
        rows(door.engine, f"UPDATE settlements SET first_token_s = {told_s} "
             "WHERE abs(first_token_s) < 1 RETURNING 1")  # fmt: skip
    assert door.manager.settle() == 3
    kept = [row for row in token_times.totals(door.engine) if row.kind == token_times.FIRST]
    assert {row.within_s: row.jobs for row in kept} == {0.001: 1, math.inf: 1}
    assert value(door.engine, "SELECT count(*) FROM settlements") == 0
