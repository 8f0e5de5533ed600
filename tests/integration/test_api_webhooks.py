"""/v1/webhooks: what a tenant sees and may do, and what nobody else does."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from werkzeug.test import TestResponse

from api.metric_totals import Totals
from api.webhook_schemas import (
    DeliveryAnswer,
    DeliveryList,
    DeliveryReplayAnswer,
    SigningSecretAnswer,
    WebhookAnswer,
    WebhookList,
)
from jobs.keys import Scope
from jobs.webhooks.events import EVENTS
from jobs.webhooks.outbox import Answer, Outbox
from tests.integration.front_door import GOOD, FrontDoor, read, refusal
from tests.integration.job_samples import empty, rows, value

URL = "https://hooks.example.com/x"


@pytest.fixture
def door(module_door: FrontDoor) -> FrontDoor:
    empty(module_door.engine)
    return module_door


def post(door: FrontDoor, path: str, body: object = None, **more: Any) -> TestResponse:
    raw = None if body is None else json.dumps(body)
    return door.send("POST", f"/v1/webhooks{path}", data=raw, content_type="application/json",
                     **more)  # fmt: skip


def made(door: FrontDoor, **body: Any) -> WebhookAnswer:
    response = post(door, "", {"url": URL} | body)
    assert response.status_code == 201, response.text
    return read(response, WebhookAnswer)


def cancelled(door: FrontDoor, **changes: Any) -> str:
    """The id of a job that is cancelled."""
    id = door.accepted(**changes).id
    assert door.send("POST", f"/v1/jobs/{id}/cancel").status_code == 200
    Outbox(door.engine, 45).spread()
    return id


def deliveries(door: FrontDoor, id: str, query: str = "") -> DeliveryList:
    return read(door.get(f"/v1/webhooks/{id}/deliveries{query}"), DeliveryList)


def test_the_secret_is_shown_at_creation_and_rotation_and_nowhere_else(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        webhook = made(door, description="mine")
        rotated = read(post(door, f"/{webhook.id}/rotate"), WebhookAnswer)
        later = [door.get("/v1/webhooks"), door.get(f"/v1/webhooks/{webhook.id}"),
                 door.get(f"/v1/webhooks/{webhook.id}/deliveries"),
                 door.send("DELETE", f"/v1/webhooks/{webhook.id}")]  # fmt: skip
    assert webhook.secret
    assert rotated.secret
    assert webhook.secret.startswith("whsec_")
    assert webhook.secret != rotated.secret
    assert rotated.old_secret_until is not None
    for told in (*(response.text for response in later), caplog.text):
        assert "whsec_" not in told
        assert webhook.secret[6:] not in told
    assert read(later[0], WebhookList).data[0].description == "mine"
    assert read(door.get("/v1/webhooks"), WebhookList).data == []


def test_every_change_is_in_the_audit_log_without_secrets(door: FrontDoor) -> None:
    webhook = made(door, url="https://hooks.example.com/x?token=hush-hush")
    for act in ("rotate", "enable"):
        assert post(door, f"/{webhook.id}/{act}").status_code == 200
    assert post(door, "/signing-secret/rotate").status_code == 200
    assert door.send("DELETE", f"/v1/webhooks/{webhook.id}").status_code == 200
    text = door.get("/v1/audit?limit=5").text
    actions = [entry["action"] for entry in json.loads(text)["data"]]
    assert actions == ["webhook.delete", "webhook.rotate_signing", "webhook.enable",
                       "webhook.rotate", "webhook.create"]  # fmt: skip
    assert "hooks.example.com" in text
    assert "hush-hush" not in text
    assert "whsec_" not in text


def test_events_are_all_unless_they_are_named(door: FrontDoor) -> None:
    assert made(door).events == list(EVENTS)
    assert made(door, events=["job.failed", "batch.completed"]).events == [
        "batch.completed",
        "job.failed",
    ]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 422, "invalid_request", "url"),
        ({"url": ""}, 422, "invalid_request", "url"),
        ({"url": "https://example.com/" + "a" * 2050}, 422, "invalid_request", "url"),
        ({"url": "http://example.com/"}, 400, "webhook_url_refused", "url"),
        ({"url": "https://127.0.0.1/"}, 400, "webhook_url_refused", "url"),
        ({"url": "https://me:pw@example.com/"}, 400, "webhook_url_refused", "url"),
        ({"url": URL, "events": []}, 422, "invalid_request", "events"),
        ({"url": URL, "events": ["job_failed"]}, 422, "invalid_request", "events.0"),
        ({"url": URL, "events": ["job.failed\n"]}, 422, "invalid_request", "events.0"),
        ({"url": URL, "events": ["webhook.test"]}, 422, "invalid_request", "events.0"),
        ({"url": URL, "description": "x" * 257}, 422, "invalid_request", "description"),
        ({"url": URL, "secret": "mine"}, 422, "invalid_request", "secret"),
    ],
)
def test_what_cannot_be_a_receiver_is_refused_with_its_field(
    door: FrontDoor, body: object, status: int, code: str, param: str
) -> None:
    assert refusal(post(door, "", body))[:3] == (status, code, param)


def test_an_unknown_event_is_told_which_there_are(door: FrontDoor) -> None:
    message = refusal(post(door, "", {"url": URL, "events": ["job_failed"]}))[3]
    assert message.startswith("events.0: there is no such event; there are response.completed, ")
    assert "\\" not in message


def test_a_tenant_has_twenty_receivers_at_most(door: FrontDoor) -> None:
    for _ in range(20):
        made(door)
    assert refusal(post(door, "", {"url": URL}))[:2] == (400, "too_many_webhooks")


def test_another_tenant_s_webhook_is_as_good_as_missing(door: FrontDoor) -> None:
    webhook, foreign = made(door), door.key(tenant="other")
    cancelled(door)
    [delivery] = deliveries(door, webhook.id).data
    since = {"since": "2020-01-01T00:00:00Z"}
    for id, key in ((webhook.id, foreign), ("018f0000-0000-7000-8000-000000000000", None),
                    ("none", None), ("x" * 500, None)):  # fmt: skip
        asked = [
            door.get(f"/v1/webhooks/{id}", key=key),
            door.get(f"/v1/webhooks/{id}/deliveries", key=key),
            door.send("DELETE", f"/v1/webhooks/{id}", key=key),
            *[post(door, f"/{id}/{act}", key=key) for act in ("rotate", "test", "enable")],
            post(door, f"/{id}/deliveries/{delivery.id}/replay", key=key),
            post(door, f"/{id}/deliveries/replay", since, key=key),
        ]
        assert {refusal(response)[:2] for response in asked} == {(404, "webhook_not_found")}
    assert read(door.get("/v1/webhooks", key=foreign), WebhookList).data == []
    about = door.get(f"/v1/webhooks/deliveries?subject={delivery.subject}", key=foreign)
    assert read(about, DeliveryList).data == []
    assert read(door.get(f"/v1/webhooks/{webhook.id}"), WebhookAnswer).status == "enabled"
    for id in ("018f0000-0000-7000-8000-000000000000", "none"):
        missing = post(door, f"/{webhook.id}/deliveries/{id}/replay")
        assert refusal(missing)[:2] == (404, "delivery_not_found")


def test_a_delivery_of_one_webhook_is_not_replayed_by_another_s_id(door: FrontDoor) -> None:
    first = made(door)
    cancelled(door)
    second = made(door)
    [delivery] = deliveries(door, first.id).data
    refused = post(door, f"/{second.id}/deliveries/{delivery.id}/replay")
    assert refusal(refused)[:2] == (404, "delivery_not_found")


def test_a_key_without_the_scope_manages_no_webhooks_and_may_bring_one(door: FrontDoor) -> None:
    key = door.key(Scope.JOBS)
    for response in (
        door.get("/v1/webhooks", key=key),
        door.get("/v1/webhooks/signing-secret", key=key),
        post(door, "", {"url": URL}, key=key),
    ):
        assert refusal(response)[:2] == (403, "insufficient_scope")
    assert door.submit(GOOD | {"webhook": {"url": URL}}, key=key).status_code == 202


def test_what_was_told_is_listed_page_by_page_and_by_status(door: FrontDoor) -> None:
    webhook = made(door)
    ids = [cancelled(door) for _ in range(3)]
    page = deliveries(door, webhook.id, "?limit=2")
    assert [one.subject for one in page.data] == ids[:0:-1]
    rest = deliveries(door, webhook.id, f"?limit=2&cursor={page.next_cursor}")
    assert [one.subject for one in rest.data] == [ids[0]]
    assert rest.next_cursor is None
    box = Outbox(door.engine, 45)
    [due] = box.claim(1)
    box.mark(due, Answer(0.25, 500, "http_status", "no", pause_s=90_000))
    [failed] = deliveries(door, webhook.id, "?status=failed").data
    [attempt] = failed.attempts
    assert (attempt.duration_ms, attempt.http_status) == (250, 500)
    assert attempt.error is not None
    assert (attempt.error.code, attempt.error.message) == ("http_status", "no")
    assert failed.next_attempt_at is None
    assert len(deliveries(door, webhook.id, "?status=pending").data) == 2
    about = door.get(f"/v1/webhooks/deliveries?subject={failed.subject}")
    assert read(about, DeliveryList).data == [failed]
    assert refusal(door.get("/v1/webhooks/deliveries"))[:3] == (422, "invalid_request", "subject")


def test_a_time_is_replayed_failed_ones_first_of_all(door: FrontDoor) -> None:
    webhook = made(door)
    for _ in range(3):
        cancelled(door)
    box = Outbox(door.engine, 45)
    good, bad, _ = box.claim(3)
    box.mark(good, Answer(0.1, 200))
    box.mark(bad, Answer(0.1, 500, "http_status", "no", pause_s=90_000))
    now = datetime.now(UTC)
    hour_ago, soon = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()

    def replayed(**body: Any) -> int:
        response = post(door, f"/{webhook.id}/deliveries/replay", {"since": hour_ago} | body)
        return read(response, DeliveryReplayAnswer).replayed

    assert replayed(until=hour_ago) == 0
    assert replayed(since=soon) == 0
    assert replayed() == 1
    assert replayed() == 0
    assert replayed(status=None, until=soon) == 1
    ids = value(door.engine, "SELECT count(DISTINCT event_id) FROM webhook_deliveries")
    assert ids == len(rows(door.engine, "SELECT 1 FROM webhook_deliveries")) == 3
    one = post(door, f"/{webhook.id}/deliveries/{good.id}/replay")
    assert read(one, DeliveryAnswer).status == "pending"
    bad_body = post(door, f"/{webhook.id}/deliveries/replay", {"since": "yesterday"})
    assert refusal(bad_body)[:3] == (422, "invalid_request", "since")
    a_number = post(door, f"/{webhook.id}/deliveries/replay", {"since": 12345})
    assert refusal(a_number)[:3] == (422, "invalid_request", "since")


def test_a_test_is_an_event_for_that_endpoint_alone(door: FrontDoor) -> None:
    made(door)
    webhook = made(door, events=["job.failed"])
    response = post(door, f"/{webhook.id}/test")
    assert response.status_code == 202
    delivery = read(response, DeliveryAnswer)
    assert (delivery.type, delivery.webhook) == ("webhook.test", webhook.id)
    assert value(door.engine, "SELECT count(*) FROM webhook_deliveries") == 1


def test_the_signing_secret_is_made_once_for_each_tenant(door: FrontDoor) -> None:
    path = "/v1/webhooks/signing-secret"
    first = read(door.get(path), SigningSecretAnswer)
    assert first == read(door.get(path), SigningSecretAnswer)
    assert first.old_secret_until is None
    second = read(post(door, "/signing-secret/rotate"), SigningSecretAnswer)
    assert second.secret != first.secret
    assert second.old_secret_until is not None
    assert read(door.get(path), SigningSecretAnswer) == second
    foreign = read(door.get(path, key=door.key(tenant="other")), SigningSecretAnswer)
    assert foreign.secret not in (first.secret, second.secret)


@pytest.mark.parametrize(
    ("webhook", "status", "code", "param"),
    [
        ({"url": "http://example.com/"}, 400, "webhook_url_refused", "webhook.url"),
        ({"url": "https://10.0.0.1/"}, 400, "webhook_url_refused", "webhook.url"),
        ({"url": "https://example.com:25/"}, 400, "webhook_url_refused", "webhook.url"),
        ({}, 422, "invalid_request", "webhook.url"),
        ({"url": URL, "events": ["batch.completed"]}, 422, "invalid_request", "webhook.events.0"),
        ({"url": URL, "events": []}, 422, "invalid_request", "webhook.events"),
        ({"url": URL, "secret": "x"}, 422, "invalid_request", "webhook.secret"),
        (URL, 422, "invalid_request", "webhook"),
    ],
)
def test_a_job_whose_webhook_breaks_a_rule_is_not_taken(
    door: FrontDoor, webhook: object, status: int, code: str, param: str
) -> None:
    assert refusal(door.submit(GOOD | {"webhook": webhook}))[:3] == (status, code, param)
    assert door.jobs() == 0


def test_a_job_s_own_webhook_is_told_of_its_end_and_a_replay_has_none(door: FrontDoor) -> None:
    id = cancelled(door, webhook={"url": URL})
    about = f"/v1/webhooks/deliveries?subject={id}"
    [delivery] = read(door.get(about), DeliveryList).data
    assert (delivery.webhook, delivery.type, delivery.status) == (None, "job.cancelled", "pending")
    again = door.send("POST", f"/v1/jobs/{id}/replay").get_json()["id"]
    door.send("POST", f"/v1/jobs/{again}/cancel")
    assert value(door.engine, "SELECT count(*) FROM webhook_deliveries") == 1


def test_metrics_tell_totals_of_all_tenants(door: FrontDoor) -> None:
    made(door)
    for _ in range(3):
        cancelled(door)
    box = Outbox(door.engine, 45)
    good, bad = box.claim(2)
    box.mark(good, Answer(0.1, 200))
    box.mark(bad, Answer(0.1, 410, "gone", "no", gone=True))
    registry = CollectorRegistry()
    registry.register(Totals(door.engine))
    told = generate_latest(registry).decode()
    for line in ("lmaas_webhooks_delivered_total 1.0", "lmaas_webhook_attempts_failed_total 1.0",
                 "lmaas_webhooks_given_up_total 1.0", "lmaas_webhooks_pending 1.0",
                 "lmaas_webhooks_disabled 1.0"):  # fmt: skip
        assert f"\n{line}\n" in told
