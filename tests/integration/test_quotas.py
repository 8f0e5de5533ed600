"""Limits of tenants: exact over processes, told in headers, free for those without."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import event, text
from werkzeug.test import TestResponse

from api.schemas import JobAnswer
from jobs import tenants
from jobs.keys import Scope
from jobs.quotas import admission, folding, limits
from jobs.quotas.admission import Asked
from jobs.states import State
from tests.conditions import eventually
from tests.integration.batch_bench import BatchBench, chat_line
from tests.integration.front_door import GOOD, FrontDoor, read, refusal
from tests.integration.job_samples import (
    a_worker,
    at_once,
    empty,
    release_all,
    rows,
    submitted,
    success,
    value,
)

COST = len("hello") + 8
SMALL = GOOD | {"parameters": {"max_tokens": 8}}


@pytest.fixture
def door(module_door: FrontDoor) -> Iterator[FrontDoor]:
    yield module_door
    empty(module_door.engine)
    rows(module_door.engine, "WITH gone AS (DELETE FROM tenant_quotas) SELECT 1")


def limited(door: FrontDoor, name: str, **changes: int | None) -> tuple[UUID, str]:
    """A tenant with limits, and a key that knows of them."""
    tenant_id = tenants.ensure(door.engine, name)
    limits.change(door.engine, name, changes)
    return tenant_id, door.key(*Scope, tenant=name)


def moved_on(door: FrontDoor, tenant_id: UUID, seconds: int) -> None:
    """As if so much time had passed since everything that was admitted."""
    rows(door.engine, "UPDATE tenant_quotas SET window_s = window_s - :s WHERE tenant_id = :id "
                      "RETURNING 1", s=seconds, id=tenant_id)  # fmt: skip


def test_a_request_too_many_is_429_with_the_limits_name_and_passes_a_minute_later(
    door: FrontDoor,
) -> None:
    tenant_id, key = limited(door, "three", requests_per_minute=3)
    for left in (2, 1, 0):
        answer = door.submit(SMALL, key=key)
        assert answer.status_code == 202
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
        assert answer.headers["x-ratelimit-reset-requests"] == "1m1s"
        assert "x-ratelimit-limit-tokens" not in answer.headers
    answer = door.submit(SMALL, key=key)
    assert refusal(answer)[:2] == (429, "rate_limit_exceeded")
    assert answer.get_json()["error"]["limit"] == "requests_per_minute"
    # The window has 61 slots, but OpenAI's older clients read no more than 60 seconds.
    assert 58 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert door.jobs() == 3
    moved_on(door, tenant_id, 57)
    assert door.submit(SMALL, key=key).status_code == 429
    moved_on(door, tenant_id, 5)
    assert door.submit(SMALL, key=key).status_code == 202


def test_tokens_are_those_of_the_prompt_and_the_most_that_may_follow(door: FrontDoor) -> None:
    _, key = limited(door, "tokens", tokens_per_minute=2 * COST)
    for left in (COST, 0):
        answer = door.submit(SMALL, key=key)
        assert answer.headers["x-ratelimit-remaining-tokens"] == str(left)
    answer = door.submit(SMALL, key=key)
    assert answer.status_code == 429
    assert answer.get_json()["error"]["limit"] == "tokens_per_minute"


def test_no_limit_refuses_what_was_accepted_before_under_its_key(door: FrontDoor) -> None:
    _, key = limited(door, "again", requests_per_minute=2)
    native = door.submit(SMALL, key=key, headers={"Idempotency-Key": "native"})
    asked = {"model": "echo", "input": "hello", "max_output_tokens": 16, "background": True}
    same = {"Idempotency-Key": "openai"}
    stored = door.send("POST", "/v1/responses", json=asked, key=key, headers=same)
    assert (native.status_code, stored.status_code) == (202, 200)
    assert door.submit(SMALL, key=key).status_code == 429
    again = door.submit(SMALL, key=key, headers={"Idempotency-Key": "native"})
    assert (again.status_code, again.get_json()["id"]) == (202, native.get_json()["id"])
    again = door.send("POST", "/v1/responses", json=asked, key=key, headers=same)
    assert (again.status_code, again.get_json()["id"]) == (200, stored.get_json()["id"])
    other = door.submit(SMALL, key=key, headers={"Idempotency-Key": "another"})
    assert other.status_code == 429
    assert door.jobs() == 2


def test_what_is_larger_than_the_limit_can_never_pass_and_says_so(door: FrontDoor) -> None:
    _, key = limited(door, "small", tokens_per_minute=COST - 1)
    answer = door.submit(SMALL, key=key)
    assert answer.status_code == 429
    assert answer.headers["x-should-retry"] == "false"
    assert "ask for less" in refusal(answer)[3]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/completions", {"prompt": "hello"}),
        ("/v1/responses", {"input": "hello", "background": True}),
    ],
)
def test_openais_routes_obey_the_same_limits(
    path: str, body: dict[str, object], door: FrontDoor
) -> None:
    _, key = limited(door, f"openai {path}", requests_per_minute=1)
    assert door.submit(SMALL, key=key).status_code == 202
    answer = door.send("POST", path, key=key, json=body | {"model": "echo"})
    assert refusal(answer)[:2] == (429, "rate_limit_exceeded")
    assert answer.headers["Retry-After"].isdecimal()
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert door.jobs() == 1


def test_requests_at_once_never_pass_more_than_the_limit(door: FrontDoor) -> None:
    tenant_id, _ = limited(door, "busy", requests_per_minute=25, queued_jobs=20)

    def ask() -> int:
        taken = 0
        for _ in range(10):
            standing = admission.admit(door.services.counting, tenant_id, Asked(1, COST))
            taken += standing.refusal is None
        return taken

    assert sum(at_once(*[ask] * 8)) == 20
    limits.change(door.engine, "busy", {"queued_jobs": None})
    assert sum(at_once(*[ask] * 8)) == 5


def test_queued_jobs_are_counted_samewhen_some_have_run(door: FrontDoor) -> None:
    tenant_id, key = limited(door, "queue", queued_jobs=3)
    accepted = [read(door.submit(SMALL, key=key), JobAnswer) for _ in range(3)]
    answer = door.submit(SMALL, key=key)
    assert refusal(answer)[:2] == (429, "quota_exceeded")
    assert answer.get_json()["error"]["limit"] == "queued_jobs"
    assert answer.headers["Retry-After"] == "1"
    door.send("POST", f"/v1/jobs/{accepted[0].id}/cancel", key=key)
    assert folding.fold_due(door.engine, threading.Event()) == 1
    assert door.submit(SMALL, key=key).status_code == 202
    assert door.submit(SMALL, key=key).status_code == 429
    assert value(door.engine, "SELECT folded_jobs + admitted_jobs FROM tenant_quotas "
                              "WHERE tenant_id = :id", id=tenant_id) == 3  # fmt: skip


def test_queued_tokens_are_a_limit_of_their_own(door: FrontDoor) -> None:
    _, key = limited(door, "long", queued_tokens=2 * COST)
    assert [door.submit(SMALL, key=key).status_code for _ in range(3)] == [202, 202, 429]


def test_what_is_admitted_while_it_is_counted_stays_counted(door: FrontDoor) -> None:
    tenant_id, _ = limited(door, "racing", queued_jobs=100)
    admission.admit(door.services.counting, tenant_id, Asked(1, COST))
    submitted(door.manager, tenant_id)
    with door.engine.begin() as admitting, ThreadPoolExecutor(1) as pool:
        admitting.execute(text("SELECT FROM tenant_quotas FOR UPDATE"))
        folding_now = pool.submit(folding.fold, door.engine, tenant_id)
        eventually(lambda: value(door.engine, "SELECT count(*) FROM pg_locks WHERE NOT granted"))
        admitting.execute(text("UPDATE tenant_quotas SET admitted_jobs = admitted_jobs + 1"))
        admitting.commit()
        assert folding_now.result(timeout=10)
    [counts] = rows(door.engine, "SELECT folded_jobs, admitted_jobs FROM tenant_quotas")
    assert tuple(counts) == (1, 1)


def test_two_folds_at_once_count_once(door: FrontDoor) -> None:
    tenant_id, _ = limited(door, "twice", queued_jobs=100)
    for _ in range(5):
        admission.admit(door.services.counting, tenant_id, Asked(1, COST))
        submitted(door.manager, tenant_id)
        at_once(*[lambda: folding.fold(door.engine, tenant_id)] * 4)
    counts = rows(door.engine, "SELECT folded_jobs, admitted_jobs FROM tenant_quotas "
                               "WHERE tenant_id = :id", id=tenant_id)  # fmt: skip
    assert tuple(counts[0]) == (5, 0)


def test_only_tenants_near_a_limit_are_counted_every_second(door: FrontDoor) -> None:
    far, _ = limited(door, "far", queued_jobs=100)
    near, _ = limited(door, "near", queued_jobs=2)
    rated, _ = limited(door, "rated", requests_per_minute=5)
    nobody = threading.Event()
    assert folding.fold_due(door.engine, nobody) == 2  # never counted
    for tenant_id in (far, near, rated):
        admission.admit(door.services.counting, tenant_id, Asked(1, COST))
    assert folding.fold_due(door.engine, nobody) == 0  # counted within this second
    rows(door.engine, "UPDATE tenant_quotas SET folded_at = folded_at - :s RETURNING 1",
         s=timedelta(seconds=2))  # fmt: skip
    assert folding.fold_due(door.engine, nobody) == 1
    rows(door.engine, "UPDATE tenant_quotas SET folded_at = folded_at - :s RETURNING 1",
         s=timedelta(minutes=2))  # fmt: skip
    assert folding.fold_due(door.engine, nobody) == 2


def test_a_replay_by_filter_obeys_the_limit_of_queued_jobs(door: FrontDoor) -> None:
    tenant_id, key = limited(door, "again", queued_jobs=2)
    submitted(door.manager, tenant_id, 3)
    release_all(door.manager)
    worker_id = a_worker(door.engine)
    done = [success(job) for job in door.manager.claim(worker_id, "echo", 1, 3)]
    assert set(door.manager.finish(worker_id, done).values()) == {State.SUCCEEDED}
    sent = {"status": "succeeded"}
    answer = door.send("POST", "/v1/jobs/replay", key=key, json=sent)
    assert refusal(answer)[:2] == (429, "quota_exceeded")
    answer = door.send("POST", "/v1/jobs/replay", key=key, json=sent | {"limit": 2})
    assert answer.status_code == 200, answer.text


def test_a_chunk_of_a_batch_passes_as_soon_as_there_is_room_and_is_no_rate(
    door: FrontDoor,
) -> None:
    tenant_id, _ = limited(door, "batches", requests_per_minute=1, queued_jobs=10)
    counting = door.services.counting
    chunk = 500, 500 * COST
    assert admission.admit_lines(counting, tenant_id, *chunk) is None
    refused = admission.admit_lines(counting, tenant_id, 1, COST)
    assert refused is not None and refused.limit == "queued_jobs" and refused.again
    assert admission.admit_lines(counting, tenant_id, 0, 0) is None
    folding.fold(door.engine, tenant_id)  # they were in vain: no row was made
    assert admission.admit_lines(counting, tenant_id, *chunk) is None
    nobody = tenants.ensure(door.engine, "without limits")
    assert admission.admit_lines(counting, nobody, *chunk) is None


def test_a_batch_is_read_on_when_its_tenant_has_room_again(door: FrontDoor) -> None:
    bench = BatchBench.over(door)
    name = bench.create(bench.file([chat_line("a"), chat_line("b"), chat_line("c")]))
    [waiting] = submitted(door.manager, door.tenant_id)
    limits.change(door.engine, "default", {"queued_jobs": 1})
    folding.fold(door.engine, door.tenant_id)
    bench.take_in()
    assert door.jobs() == 1
    assert bench.view(name).status == "in_progress"
    door.manager.cancel(door.tenant_id, waiting)
    folding.fold(door.engine, door.tenant_id)

    def taken_in() -> bool:
        bench.take_in()
        return door.jobs() == 4

    eventually(taken_in, within_s=10)  # a second later


def test_files_hold_no_more_bytes_than_the_tenant_may_store(door: FrontDoor) -> None:
    _, key = limited(door, "hoarder", storage_bytes=300)

    def bring(size: int) -> TestResponse:
        sent = {"purpose": "batch", "file": (io.BytesIO(b"x" * size), "a.jsonl")}
        return door.send("POST", "/v1/files", key=key, data=sent)

    kept = bring(200)
    assert kept.status_code == 200, kept.text
    refused = bring(101)
    assert refusal(refused)[:2] == (429, "quota_exceeded")
    assert refused.get_json()["error"]["limit"] == "storage_bytes"
    assert refused.headers["x-should-retry"] == "false"
    assert "200 of 300 bytes" in refusal(refused)[3] and "101 more" in refusal(refused)[3]
    assert "more than the 300 bytes" in refusal(bring(301))[3]
    begun = {"purpose": "batch", "filename": "a", "bytes": 101, "mime_type": "text/plain"}
    assert door.send("POST", "/v1/uploads", key=key, json=begun).status_code == 429
    assert bring(100).status_code == 200
    assert bring(100_000).status_code == 429
    assert door.send("DELETE", f"/v1/files/{kept.get_json()['id']}", key=key).status_code == 200
    assert bring(200).status_code == 200


def test_files_that_come_at_once_pass_the_limit_by_no_more_than_themselves(
    door: FrontDoor,
) -> None:
    _, key = limited(door, "crowd", storage_bytes=300)

    def bring() -> int:
        sent = {"purpose": "batch", "file": (io.BytesIO(b"x" * 100), "a.jsonl")}
        return door.send("POST", "/v1/files", key=key, data=sent).status_code

    answers = at_once(*[bring] * 6)
    assert set(answers) <= {200, 429}
    assert answers.count(200) >= 3
    assert bring() == 429


def test_a_tenant_without_limits_costs_no_statement_more(door: FrontDoor) -> None:
    door.submit(SMALL)
    seen: list[str] = []
    listened = door.services.counting.pool
    event.listen(listened, "checkout", lambda *_: seen.append("checkout"))
    answer = door.submit(SMALL)
    assert answer.status_code == 202
    assert not [name for name, _ in answer.headers if name.startswith("x-ratelimit")]
    assert seen == []
    assert rows(door.engine, "SELECT FROM tenant_quotas") == []


def test_limits_that_are_set_hold_for_keys_in_use_within_seconds(door: FrontDoor) -> None:
    key = door.key(*Scope, tenant="later")
    assert door.submit(SMALL, key=key).status_code == 202
    limits.change(door.engine, "later", {"requests_per_minute": 1})
    eventually(lambda: door.submit(SMALL, key=key).status_code == 429, within_s=5)
    limits.change(door.engine, "later", {"requests_per_minute": None})
    assert limits.read(door.engine, "later") == limits.Limits()
    assert door.submit(SMALL, key=key).status_code == 202
