"""What is to be told is committed with what it tells; each is claimed by one at a time."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from jobs import statements
from jobs.database import run
from jobs.envelopes import Times
from jobs.ids import new_id
from jobs.task_manager import MAX_CRASHES, TaskManager
from jobs.webhooks import log, retention
from jobs.webhooks.announcements import announced
from jobs.webhooks.endpoints import Endpoint, Endpoints
from jobs.webhooks.events import EVENTS, JobWebhook
from jobs.webhooks.log import DeliveryFilter
from jobs.webhooks.outbox import PER_LANE, PER_TENANT, Answer, Outbox
from jobs.webhooks.secrets import Safe
from jobs.webhooks.urls import Rules, of_job
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_tenant,
    a_worker,
    at_once,
    claimed,
    empty,
    failure,
    flat,
    release_all,
    rows,
    submitted,
    success,
    value,
    worker_died,
)

URL = "https://hooks.example.com/x"


@pytest.fixture
def engine(module_engine: Engine) -> Engine:
    empty(module_engine)
    return module_engine


@pytest.fixture
def endpoints(engine: Engine) -> Endpoints:
    return Endpoints(engine, Safe(None))


@pytest.fixture
def endpoint(endpoints: Endpoints, tenant_id: UUID) -> Endpoint:
    return endpoints.create(tenant_id, URL, EVENTS, "")[0]


def told(engine: Engine) -> list[tuple[str, str]]:
    """Type and subject of all deliveries, as they were made."""
    outbox(engine).spread()
    found = rows(engine, "SELECT type, subject FROM webhook_deliveries ORDER BY id")
    return [(row.type, row.subject) for row in found]


def told_of(engine: Engine, job_id: UUID) -> list[str]:
    return [event for event, subject in told(engine) if subject == str(job_id)]


def outbox(engine: Engine) -> Outbox:
    """Of a process of its own; what was announced is spread."""
    box = Outbox(engine, 45)
    while box.spread():
        pass
    return box


def fill(engine: Engine, manager: TaskManager, tenant_id: UUID, count: int) -> None:
    """That many deliveries for each endpoint of the tenant."""
    for id in submitted(manager, tenant_id, count):
        manager.cancel(tenant_id, id)
    outbox(engine)


def test_every_way_to_end_is_told_once(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    worker_id, [good, bad] = claimed(manager, engine, tenant_id, 2)
    for _ in range(2):  # a repetition after a lost answer tells nothing twice
        manager.finish(worker_id, [success(good), failure(bad)])
    assert (told_of(engine, good.id), told_of(engine, bad.id)) == (
        ["job.succeeded"],
        ["job.failed"],
    )
    [waiting] = submitted(manager, tenant_id)
    manager.cancel(tenant_id, waiting)
    manager.cancel(tenant_id, waiting)
    assert told_of(engine, waiting) == ["job.cancelled"]
    late = manager.submit(replace(a_job(tenant_id), times=Times(expires_after_s=0.001))).id
    while not manager.expire():
        pass
    assert told_of(engine, late) == ["job.expired"]
    worker_id, [running] = claimed(manager, engine, tenant_id)
    manager.cancel(tenant_id, running.id)
    assert told_of(engine, running.id) == []
    manager.give_back(worker_id, [running.id])
    assert told_of(engine, running.id) == ["job.cancelled"]


def test_a_poisonous_job_and_a_cancelled_one_of_a_dead_worker_are_told_at_their_end(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    [poison] = submitted(manager, tenant_id)
    for _ in range(MAX_CRASHES):
        assert told_of(engine, poison) == []
        release_all(manager)
        worker_id = a_worker(engine)
        assert manager.claim(worker_id, MODEL, VERSION, 1)
        worker_died(engine, worker_id)
        manager.reclaim()
    assert told_of(engine, poison) == ["job.failed"]
    worker_id, [job] = claimed(manager, engine, tenant_id)
    manager.cancel(tenant_id, job.id)
    worker_died(engine, worker_id)
    manager.reclaim()
    assert told_of(engine, job.id) == ["job.cancelled"]


def test_a_retry_and_a_drain_are_no_end(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    worker_id, [again, back] = claimed(manager, engine, tenant_id, 2)
    manager.finish(worker_id, [failure(again, retryable=True)])
    manager.give_back(worker_id, [back.id])
    assert told(engine) == []


@pytest.mark.parametrize(
    ("state", "reason", "event"),
    [
        ("succeeded", "stop", "response.completed"),
        ("succeeded", "length", "response.incomplete"),
        ("failed", None, "response.failed"),
        ("cancelled", "cancelled", "response.cancelled"),
    ],
)
def test_a_background_response_is_told_by_its_own_id_too(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint,
    state: str, reason: str | None, event: str,
) -> None:  # fmt: skip
    ids = {}
    for background in (True, False):
        asked = {"route": "responses", "background": background, "store": True}
        ids[background] = manager.submit(replace(a_job(tenant_id), asked=asked)).id
    release_all(manager)
    worker_id = a_worker(engine)
    for job in manager.claim(worker_id, MODEL, VERSION, 2):
        if state == "cancelled":
            manager.cancel(tenant_id, job.id)
        done = failure(job) if state == "failed" else replace(success(job), finish_reason=reason)
        manager.finish(worker_id, [done])
    subject = f"resp_{ids[True].hex}"
    assert [one for one in told(engine) if one[0].startswith("response.")] == [(event, subject)]
    assert len(told(engine)) == 3


def test_an_endpoint_is_told_what_it_subscribed_to_while_it_is_enabled(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints
) -> None:
    chosen, _ = endpoints.create(tenant_id, URL, ["job.failed", "job.cancelled"], "")
    other = a_tenant(engine, "other")
    endpoints.create(other, URL, EVENTS, "")
    worker_id, [good] = claimed(manager, engine, tenant_id)
    manager.finish(worker_id, [success(good)])
    fill(engine, manager, tenant_id, 1)
    found = rows(engine, "SELECT endpoint_id, type, tenant_id FROM webhook_deliveries")
    assert [tuple(row) for row in found] == [(chosen.id, "job.cancelled", tenant_id)]
    rows(engine, "UPDATE webhook_endpoints SET disabled_at = clock_timestamp() RETURNING 1")
    fill(engine, manager, tenant_id, 1)
    assert len(told(engine)) == 1


def test_all_receivers_of_an_event_see_one_id(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints
) -> None:
    for _ in range(2):
        endpoints.create(tenant_id, URL, EVENTS, "")
    fill(engine, manager, tenant_id, 2)
    uses = Counter(row[0] for row in rows(engine, "SELECT event_id FROM webhook_deliveries"))
    assert sorted(uses.values()) == [2, 2]
    assert value(engine, "SELECT count(DISTINCT id) FROM webhook_deliveries") == 4


def test_a_job_brings_a_webhook_of_its_own(
    engine: Engine, manager: TaskManager, tenant_id: UUID
) -> None:
    asked = JobWebhook.model_validate({"url": URL, "events": ["job.cancelled"]})
    ids = [
        manager.submit(replace(a_job(tenant_id), webhook=of_job(tenant_id, asked, Rules()))).id
        for _ in range(2)
    ]
    manager.cancel(tenant_id, ids[0])
    assert told(engine) == [("job.cancelled", str(ids[0]))]
    [due] = outbox(engine).claim(10)
    assert (due.endpoint_id, due.url, list(due.secrets)) == (None, URL, [])


def test_a_job_that_is_erased_at_once_is_told_all_the_same(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    own = of_job(tenant_id, JobWebhook(url=URL), Rules())
    asked = {"route": "responses", "background": True, "store": True}
    job = manager.submit(replace(a_job(tenant_id), webhook=own, asked=asked))
    manager.cancel(tenant_id, job.id)
    assert manager.erase(tenant_id, job.id)
    found = [event for event, _ in told(engine)]
    assert sorted(found) == ["job.cancelled", "job.cancelled", "response.cancelled"]


def test_what_is_not_committed_is_not_told(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    [id] = submitted(manager, tenant_id)
    with engine.connect() as connection:
        connection.execute(statements.CANCEL, {"id": id, "tenant_id": tenant_id})
        assert outbox(engine).claim(10) == []
        connection.rollback()
    assert told(engine) == []


def test_what_is_no_job_is_told_by_the_same_fragment(
    engine: Engine, tenant_id: UUID, endpoint: Endpoint
) -> None:
    """As the status of a batch changes: one statement for both."""
    ended = announced(
        "ended", type="'batch.' || e.status", subject="'batch_' || e.hex",
        only="e.status IN ('completed', 'failed', 'cancelled', 'expired')",
    )  # fmt: skip
    statement = text(f"""
WITH ended AS (
  SELECT CAST(:tenant_id AS uuid) AS tenant_id, CAST(:status AS text) AS status, 'ab12' AS hex
), announced AS (
{ended}
)
SELECT 1""")
    for status in ("in_progress", "completed"):
        run(engine, statement, {"tenant_id": tenant_id, "status": status})
    assert told(engine) == [("batch.completed", "batch_ab12")]


def test_no_two_claim_the_same_and_no_receiver_gets_more_at_once_than_its_share(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    fill(engine, manager, tenant_id, 3 * PER_LANE)
    for _ in range(3):
        several = [outbox(engine) for _ in range(4)]
        found = flat(at_once(*[lambda one=one: one.claim(32) for one in several]))
        held = value(engine, "SELECT count(*) FROM webhook_deliveries WHERE lease IS NOT NULL")
        assert len({due.id for due in found}) == len(found)
        assert held == PER_LANE
        for due in found:
            several[0].mark(due, Answer(0.01, 200))
    assert retention.counts(engine).pending == 0


def test_a_tenant_with_many_receivers_holds_its_share_and_others_go_on(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints
) -> None:
    for _ in range(8):
        endpoints.create(tenant_id, URL, EVENTS, "")
    fill(engine, manager, tenant_id, 8)
    other = a_tenant(engine, "other")
    endpoints.create(other, URL, EVENTS, "")
    fill(engine, manager, other, 1)
    found = outbox(engine).claim(64)
    assert Counter(due.tenant_id for due in found) == {tenant_id: PER_TENANT, other: 1}


def test_a_long_backlog_of_one_receiver_hides_no_other(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints
) -> None:
    endpoints.create(tenant_id, URL, EVENTS, "")
    fill(engine, manager, tenant_id, 30)
    other = a_tenant(engine, "other")
    chosen, _ = endpoints.create(other, URL, EVENTS, "")
    fill(engine, manager, other, 1)
    assert chosen.id in {due.endpoint_id for due in outbox(engine).claim(PER_LANE + 1)}


def test_of_a_process_that_died_the_rows_come_back_and_its_late_mark_is_refused(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    fill(engine, manager, tenant_id, 1)
    dying = Outbox(engine, 0.001)
    [first] = dying.claim(1)
    [second] = outbox(engine).claim(1)
    assert (first.id, first.event_id) == (second.id, second.event_id)
    assert outbox(engine).claim(1) == []
    assert dying.mark(first, Answer(0.01, 500, "http_status", "no", pause_s=9)) is None
    marked = outbox(engine).mark(second, Answer(0.01, 200))
    assert marked is not None
    assert marked.state == "delivered"
    assert outbox(engine).mark(second, Answer(0.01, 200)) is None
    assert value(engine, "SELECT count(*) FROM webhook_attempts") == 1


def test_what_fails_is_due_again_until_its_day_is_over(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    fill(engine, manager, tenant_id, 1)
    box = outbox(engine)
    for tries in (1, 2):
        [due] = box.claim(1)
        assert due.tries == tries
        box.mark(due, Answer(0.01, 500, "http_status", "no", pause_s=0))
    [due] = box.claim(1)
    marked = box.mark(due, Answer(0.01, 500, "http_status", "no", pause_s=90_000))
    assert marked is not None
    assert marked.state == "failed"
    [delivery] = log.deliveries(engine, tenant_id, DeliveryFilter(endpoint_id=endpoint.id))
    assert [attempt.error_code for attempt in delivery.attempts] == ["http_status"] * 3


def test_an_endpoint_that_fails_for_days_is_disabled_and_one_success_forgets_it(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    box = outbox(engine)

    def attempt(answer: Answer) -> str | None:
        fill(engine, manager, tenant_id, 1)
        [due] = box.claim(1)
        marked = box.mark(due, answer)
        assert marked is not None
        return marked.disabled

    bad = Answer(0.01, 500, "http_status", "no", pause_s=90_000)
    assert [attempt(bad) for _ in range(12)] == [None] * 12
    assert endpoints.get(tenant_id, endpoint.id).failures == 12
    attempt(Answer(0.01, 204))
    assert endpoints.get(tenant_id, endpoint.id).failures == 0
    assert [attempt(bad) for _ in range(9)] == [None] * 9
    rows(engine, "UPDATE webhook_endpoints SET failing_since = failing_since - interval '3 days' "
                 "RETURNING 1")  # fmt: skip
    assert attempt(bad) == "failing"
    assert endpoints.get(tenant_id, endpoint.id).disabled_reason == "failing"
    assert endpoints.enable(tenant_id, endpoint.id).disabled_at is None


def test_what_waits_for_a_disabled_or_removed_endpoint_is_not_claimed(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    fill(engine, manager, tenant_id, 2)
    rows(engine, "UPDATE webhook_endpoints SET disabled_at = clock_timestamp() RETURNING 1")
    assert outbox(engine).claim(10) == []
    endpoints.enable(tenant_id, endpoint.id)
    assert len(outbox(engine).claim(1)) == 1
    endpoints.delete(tenant_id, endpoint.id)
    assert outbox(engine).claim(10) == []


def test_the_log_keeps_a_week_and_a_day_ends_what_could_not_be_told(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoint: Endpoint
) -> None:
    fill(engine, manager, tenant_id, 3)
    box = outbox(engine)
    done, held = box.claim(2)
    box.mark(done, Answer(0.01, 200))
    assert retention.give_up(engine) == 0
    rows(engine, "UPDATE webhook_deliveries SET give_up_at = clock_timestamp() RETURNING 1")
    assert retention.give_up(engine) == 1  # not the one that is under way
    assert retention.counts(engine).pending == 1
    rows(engine, "UPDATE webhook_deliveries SET ended_at = ended_at - interval '8 days' "
                 "WHERE state = 'delivered' RETURNING 1")  # fmt: skip
    assert retention.forget(engine) == 1
    assert value(engine, "SELECT count(*) FROM webhook_attempts") == 0
    assert box.mark(held, Answer(0.01, 200)) is not None


def test_with_more_lanes_than_one_look_takes_the_next_goes_on_behind_them(
    engine: Engine, manager: TaskManager, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.webhooks.outbox._MOST_LANES", 2)
    box = outbox(engine)
    for number in range(5):
        asked = JobWebhook(url=f"https://h{number}.example.com/")
        job = replace(a_job(tenant_id), id=new_id(), webhook=of_job(tenant_id, asked, Rules()))
        manager.cancel(tenant_id, manager.submit(job).id)
    box.spread()
    assert [len(box.claim(10)) for _ in range(4)] == [2, 2, 1, 0]
