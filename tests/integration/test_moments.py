"""Moments at the ends of the calendar: refused by name wherever a client can send one, and
never stored where nobody could read them again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.schemas import JobAnswer
from tests.integration.front_door import GOOD, FrontDoor, read, refusal

BEFORE_ALL = "0001-01-01T00:00:00+14:00"
AFTER_ALL = "9999-12-31T23:59:59-14:00"


@pytest.fixture
def door(module_door: FrontDoor) -> FrontDoor:
    return module_door


def post(door: FrontDoor, path: str, body: dict[str, Any]) -> Any:
    return door.send("POST", path, data=json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("at", [BEFORE_ALL, AFTER_ALL, "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("name", ["run_at", "deadline"])
def test_a_jobs_moment_that_no_calendar_has_is_refused_and_nothing_is_stored(
    door: FrontDoor, name: str, at: str
) -> None:
    before = door.jobs()
    status, code, param, message = refusal(door.submit(GOOD | {name: at}))
    assert (status, code, param) == (400, "invalid_request", name)
    assert name in message
    assert door.jobs() == before


def test_a_deadline_lies_at_most_two_years_ahead_a_start_at_most_one(door: FrontDoor) -> None:
    now = datetime.now(UTC)
    for name, days in (("run_at", 365), ("deadline", 730)):
        near, far = (now + timedelta(days=days + more) for more in (-1, 1))
        assert door.submit(GOOD | {name: near.isoformat()}).status_code == 202
        status, _, param, message = refusal(door.submit(GOOD | {name: far.isoformat()}))
        assert (status, param) == (400, name)
        assert f"more than {days} days ahead" in message


def test_a_start_that_has_passed_means_now_however_long_ago(door: FrontDoor) -> None:
    for at in ("0001-01-01T00:00:00Z", "1970-01-01T00:00:00+14:00"):
        id = door.accepted(run_at=at, expires_after=60).id
        assert read(door.get(f"/v1/jobs/{id}"), JobAnswer).status == "queued"
        assert door.get(f"/v1/jobs/{id}/explain").status_code == 200
        assert door.send("POST", f"/v1/jobs/{id}/cancel").status_code == 200


@pytest.mark.parametrize("at", [BEFORE_ALL, AFTER_ALL])
@pytest.mark.parametrize("name", ["ended_since", "ended_until"])
def test_a_filters_moment_is_refused_by_name(door: FrontDoor, name: str, at: str) -> None:
    listed = door.get("/v1/jobs", query_string={name: at})
    replayed = post(door, "/v1/jobs/replay", {name: at, "dry_run": True})
    for answer in (listed, replayed):
        status, _, param, message = refusal(answer)
        assert (status, param) == (400, name)
        assert "years 1 to 9999" in message


@pytest.mark.parametrize("at", [BEFORE_ALL, AFTER_ALL])
def test_a_keys_end_is_refused_by_name(door: FrontDoor, at: str) -> None:
    status, _, param, _ = refusal(post(door, "/v1/keys", {"name": "k", "expires_at": at}))
    assert (status, param) == (400, "expires_at")


@pytest.mark.parametrize("at", [BEFORE_ALL, AFTER_ALL])
def test_the_time_of_a_webhooks_replay_is_refused_by_name(door: FrontDoor, at: str) -> None:
    made = post(door, "/v1/webhooks", {"url": "https://example.com/told"})
    assert made.status_code == 201, made.text
    path = f"/v1/webhooks/{made.get_json()['id']}/deliveries/replay"
    now = datetime.now(UTC).isoformat()
    for name, body in (("since", {"since": at}), ("until", {"since": now, "until": at})):
        status, _, param, _ = refusal(post(door, path, body))
        assert (status, param) == (400, name)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_of_the_calendar_have_a_usage(door: FrontDoor, day: str) -> None:
    assert door.get("/v1/usage", query_string={"to": day}).status_code == 200


def test_a_text_that_is_too_long_is_too_long_in_characters(door: FrontDoor) -> None:
    status, _, param, message = refusal(post(door, "/v1/models/echo/pause", {"reason": "x" * 501}))
    assert (status, param) == (422, "reason")
    assert message == "reason: String should have at most 500 characters"
