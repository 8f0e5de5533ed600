"""A deadline that cannot be met is refused if the client asks for the check."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs import leases
from jobs.outlook import components
from tests.integration.front_door import GOOD, FrontDoor, refusal
from tests.integration.job_samples import a_worker, empty, release_all, rows, success

LONG = {"max_tokens": 8_000}


@pytest.fixture
def door(module_door: FrontDoor) -> FrontDoor:
    """One ready worker whose slots make 100 tokens a second each."""
    empty(module_door.engine)
    components.seen(module_door.engine, components.DISPATCHER)
    worker_id = a_worker(module_door.engine)
    leases.renew(module_door.engine, worker_id, state="ready", slots=8, stale_writes=0, lease_s=60)
    rows(module_door.engine, "INSERT INTO model_clocks (model, version, slot_tokens_per_s) "
                        "VALUES ('echo', 1, 100) RETURNING 1")  # fmt: skip
    return module_door


def body(within_s: float, **changes: Any) -> dict[str, Any]:
    deadline = datetime.now(UTC) + timedelta(seconds=within_s)
    given = {"deadline": deadline.isoformat(), "on_unmeetable": "refuse", "parameters": LONG}
    return GOOD | given | changes


def test_a_deadline_that_cannot_be_met_is_refused_with_the_time_that_can(door: FrontDoor) -> None:
    answer = door.submit(body(5))
    status, code, param, message = refusal(answer)
    assert (status, code, param) == (409, "deadline_unmeetable", "deadline")
    assert "nothing was stored" in message
    assert door.jobs() == 0
    earliest = datetime.fromisoformat(answer.get_json()["error"]["earliest_finish"])
    # A quarter of 8,000 tokens, half as fast again as learned, is the best case of a
    # flow of which nothing is known.
    assert timedelta(seconds=12) < earliest - datetime.now(UTC) < timedelta(seconds=15)


def test_the_time_it_named_is_accepted(door: FrontDoor) -> None:
    earliest = datetime.fromisoformat(door.submit(body(5)).get_json()["error"]["earliest_finish"])
    later = (earliest + timedelta(seconds=1)).isoformat()
    assert door.submit(body(5, deadline=later)).status_code == 202


def test_without_the_wish_it_is_accepted(door: FrontDoor) -> None:
    for wish in ({"on_unmeetable": "accept"}, {}):
        given = {name: value for name, value in body(5).items() if name != "on_unmeetable"}
        assert door.submit(given | wish).status_code == 202


def test_other_work_before_it_counts(door: FrontDoor) -> None:
    assert door.submit(body(15)).status_code == 202
    for _ in range(30):  # of which its weight lets about eight go first
        door.accepted(parameters=LONG, priority="interactive")
    status, code, *_ = refusal(door.submit(body(15)))
    assert (status, code) == (409, "deadline_unmeetable")


def test_a_refused_key_is_free_and_an_accepted_one_is_not_asked_again(door: FrontDoor) -> None:
    key = {"Idempotency-Key": "night-batch"}
    refused = body(5)
    assert door.submit(refused, headers=key).status_code == 409
    accepted = body(600)
    first = door.submit(accepted, headers=key)
    assert first.status_code == 202
    rows(door.engine, "UPDATE model_clocks SET slot_tokens_per_s = 0.001 RETURNING 1")
    again = door.submit(accepted, headers=key)
    assert (again.status_code, again.get_json()["id"]) == (202, first.get_json()["id"])
    assert door.submit(refused, headers=key).status_code == 422  # another body


def test_what_cannot_be_known_is_no_reason_to_refuse(door: FrontDoor) -> None:
    rows(door.engine, "UPDATE workers SET ended_at = clock_timestamp() RETURNING 1")
    assert door.submit(body(5)).status_code == 202


def test_another_wish_is_refused_by_name(door: FrontDoor) -> None:
    status, _, param, _ = refusal(door.submit(GOOD | {"on_unmeetable": "hope"}))
    assert (status, param) == (422, "on_unmeetable")


def run_through(door: FrontDoor, worker_id: UUID, jobs: int, tokens: int) -> None:
    """Jobs of that many tokens, all of which they use."""
    for _ in range(jobs):
        door.accepted(parameters={"max_tokens": tokens})
    release_all(door.manager)
    claimed = door.manager.claim(worker_id, "echo", 1, jobs)
    assert len(claimed) == jobs
    door.manager.finish(worker_id, [success(job, "x" * tokens) for job in claimed])
    door.manager.settle()


def test_behind_a_queue_of_known_jobs_the_check_is_sharp_and_leaves_a_margin(
    door: FrontDoor,
) -> None:
    """Eight run and eight wait, 30 tokens each, at 5 tokens/s: another one of 20 tokens
    ends after 16 s."""
    [worker] = rows(door.engine, "SELECT id FROM workers")
    twenty = {"max_tokens": 20}

    def queue() -> None:
        rows(door.engine, "UPDATE model_clocks SET slot_tokens_per_s = 5 RETURNING 1")
        for _ in range(16):
            door.accepted(parameters={"max_tokens": 30})
        release_all(door.manager)
        assert len(door.manager.claim(worker.id, "echo", 1, 8)) == 8

    for _ in range(4):
        run_through(door, worker.id, jobs=8, tokens=30)
    queue()
    for within_s in (2, 8):
        answer = door.submit(body(within_s, parameters=twenty))
        assert refusal(answer)[:2] == (409, "deadline_unmeetable"), within_s
    named = datetime.fromisoformat(answer.get_json()["error"]["earliest_finish"])
    assert timedelta(seconds=8.5) < named - datetime.now(UTC) < timedelta(seconds=14)
    told = door.accepted(deadline=body(16)["deadline"], on_unmeetable="refuse",
                         parameters=twenty)  # fmt: skip
    finish = door.get(f"/v1/jobs/{told.id}/explain").get_json()["finish"]
    due_s = (datetime.fromisoformat(finish["expected"]) - datetime.now(UTC)).total_seconds()
    assert 14 < due_s < 17
