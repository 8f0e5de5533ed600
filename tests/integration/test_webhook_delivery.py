"""From the end of a job to a real receiver: signed, tried again, isolated, stopped."""

import ipaddress
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest
from cryptography.fernet import Fernet
from openai import OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent, ResponseCompletedWebhookEvent
from pydantic import SecretStr
from sqlalchemy import Engine
from standardwebhooks.webhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from dispatcher.safe_connection import Resolve, addresses
from dispatcher.webhook_delivery import WebhookDelivery
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from jobs.webhooks import log
from jobs.webhooks.endpoints import Endpoint, Endpoints
from jobs.webhooks.errors import WebhookSecretSealed
from jobs.webhooks.events import EVENTS, TEST_EVENT, JobWebhook
from jobs.webhooks.log import Delivery, DeliveryFilter
from jobs.webhooks.outbox import PER_LANE
from jobs.webhooks.secrets import Safe
from jobs.webhooks.urls import Rules, of_job
from lmaas.local import ports
from tests.conditions import ROOT, eventually
from tests.integration.job_samples import a_job, a_tenant, empty, rows, submitted, value
from tests.receiver import Received, Receiver, Reply, receiving

RULES = Rules(http=True, private=(ipaddress.ip_network("127.0.0.0/8"),))


@pytest.fixture
def engine(module_engine: Engine) -> Engine:
    empty(module_engine)
    return module_engine


@pytest.fixture
def endpoints(engine: Engine) -> Endpoints:
    return Endpoints(engine, Safe(None))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@contextmanager
def delivering(engine: Engine, resolve: Resolve = addresses, **more: Any) -> Iterator[None]:
    """What the housekeeper's thread does, until the block ends and all is quiet."""
    settings = Settings.model_validate(
        {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "webhook_http": True,
         "webhook_private": "127.0.0.0/8", "webhook_pause_s": 0.05, "webhook_timeout_s": 2} | more
    )  # fmt: skip
    delivery, stopping = WebhookDelivery(engine, settings, resolve=resolve), threading.Event()

    def loop() -> None:
        while not stopping.is_set():
            if delivery.run(stopping) is None:
                stopping.wait(0.02)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(timeout=10)
        for other in [t for t in threading.enumerate() if t.name == "webhook"]:
            other.join(timeout=10)


def end(manager: TaskManager, tenant_id: UUID, count: int = 1) -> list[UUID]:
    """That many jobs that are cancelled."""
    ids = submitted(manager, tenant_id, count)
    for id in ids:
        manager.cancel(tenant_id, id)
    return ids


def at(receiver: Receiver, endpoints: Endpoints, tenant_id: UUID, path: str = "/hook"
       ) -> tuple[Endpoint, str]:  # fmt: skip
    return endpoints.create(tenant_id, receiver.url(path), EVENTS, "")


def ended(engine: Engine, tenant_id: UUID, *, count: int = 1) -> list[Delivery]:
    """All deliveries once that many have ended."""

    def look() -> list[Delivery]:
        found = log.deliveries(engine, tenant_id, DeliveryFilter(limit=100))
        return found if sum(one.state != "pending" for one in found) >= count else []

    return eventually(look, within_s=15, what=f"{count} deliveries have ended")


def verified(secret: str, got: Received) -> dict[str, Any]:
    """The event, if Svix' own verifier takes it."""
    SvixWebhook(secret).verify(got.body, dict(got.headers))
    return got.event


def test_an_event_is_signed_so_that_every_verifier_takes_it(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    _, secret = at(receiver, endpoints, tenant_id)
    [job_id] = end(manager, tenant_id)
    with delivering(engine):
        [got] = receiver.wait(1)
        [delivery] = ended(engine, tenant_id)
    headers, body = dict(got.headers), got.body.decode()
    told = verified(secret, got)
    assert told == StandardWebhook(secret).verify(body, headers)
    assert set(told) == {"id", "object", "type", "created_at", "data"}
    assert (told["object"], told["type"]) == ("event", "job.cancelled")
    assert told["data"] == {"id": str(job_id)}
    assert told["id"] == got.id == f"evt_{delivery.event_id.hex}"
    event: Any = OpenAI(api_key="none").webhooks.unwrap(got.body, headers, secret=secret)
    assert (event.id, event.data.id) == (got.id, str(job_id))
    [attempt] = delivery.attempts
    assert (delivery.state, attempt.http_status, attempt.error_code) == ("delivered", 204, None)
    with pytest.raises(WebhookVerificationError):
        SvixWebhook(secret).verify(got.body.replace(b"cancelled", b"succeeded"), headers)
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("event", "subject", "shape"),
    [
        ("response.completed", "resp_ab", ResponseCompletedWebhookEvent),
        ("batch.completed", "batch_ab", BatchCompletedWebhookEvent),
    ],
)
def test_openai_s_client_reads_its_own_events(
    engine: Engine, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver,
    event: str, subject: str, shape: type[Any],
) -> None:  # fmt: skip
    endpoint, secret = at(receiver, endpoints, tenant_id)
    log.add_test(engine, tenant_id, endpoint.id, event)
    rows(engine, "UPDATE webhook_deliveries SET subject = :subject RETURNING 1", subject=subject)
    with delivering(engine):
        [got] = receiver.wait(1)
    told = OpenAI(api_key="none").webhooks.unwrap(got.body, dict(got.headers), secret=secret)
    assert isinstance(told, shape)
    assert (told.type, told.data.id, told.object) == (event, subject, "event")
    assert abs(told.created_at - time.time()) < 60


def test_a_single_job_s_webhook_is_signed_with_the_tenant_s_secret(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    asked = JobWebhook(url=receiver.url("/mine?token=1"))
    job = replace(a_job(tenant_id), webhook=of_job(tenant_id, asked, RULES))
    manager.cancel(tenant_id, manager.submit(job).id)
    with delivering(engine):  # the secret is made with the first attempt
        [got] = receiver.wait(1)
    assert got.path == "/mine?token=1"
    secret = endpoints.signing_secret(tenant_id).secret
    assert verified(secret, got)["data"] == {"id": str(job.id)}
    assert endpoints.signing_secret(tenant_id).secret == secret
    assert endpoints.signing_secret(a_tenant(engine, "other")).secret != secret


def test_after_a_rotation_both_secrets_verify_for_a_day(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    endpoint, old = at(receiver, endpoints, tenant_id)
    _, new = endpoints.rotate(tenant_id, endpoint.id)
    end(manager, tenant_id)
    with delivering(engine):
        [first] = receiver.wait(1)
        rows(engine, "UPDATE webhook_endpoints SET old_until = clock_timestamp() RETURNING 1")
        end(manager, tenant_id)
        [_, second] = receiver.wait(2)
    for secret in (old, new):
        assert verified(secret, first)
    assert verified(new, second)
    with pytest.raises(WebhookVerificationError):
        verified(old, second)


def test_a_receiver_that_was_down_is_told_when_it_is_up_under_the_same_id(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints
) -> None:
    with receiving() as before:
        port = before.port
        at(before, endpoints, tenant_id)
    [job_id] = end(manager, tenant_id)

    def failed() -> int:
        return int(value(engine, "SELECT count(*) FROM webhook_attempts"))

    with delivering(engine):
        eventually(lambda: failed() >= 2, within_s=10, what="attempts failed")
        with receiving(port) as up:
            up.decide = lambda _: Reply(503 if len(up.received) < 3 else 200)
            got = up.wait(3)
            [delivery] = ended(engine, tenant_id)
    assert {one.id for one in got} == {f"evt_{delivery.event_id.hex}"}
    assert {one.body for one in got} == {got[0].body}
    assert delivery.subject == str(job_id)
    codes = [attempt.error_code for attempt in delivery.attempts]
    assert codes[0] == "connection_failed"
    assert codes[-3:] == ["http_status", "http_status", None]


def test_a_slow_receiver_delays_itself_alone(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    go_on = threading.Event()

    def decide(got: Received) -> Reply:
        if got.path == "/slow":
            go_on.wait(timeout=40)
        return Reply()

    receiver.decide = decide
    at(receiver, endpoints, tenant_id, "/slow")
    end(manager, tenant_id, 20)
    other = a_tenant(engine, "other")
    at(receiver, endpoints, other, "/fast")
    with delivering(engine, webhook_timeout_s=30):
        eventually(lambda: len(receiver.received) >= PER_LANE, within_s=10)
        end(manager, other, 20)
        assert len(ended(engine, other, count=20)) == 20
        assert [one.path for one in receiver.received].count("/slow") == PER_LANE
        go_on.set()
        ended(engine, tenant_id, count=20)


def test_a_redirect_and_an_inner_address_are_told_in_the_log_as_what_they_are(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    receiver.decide = lambda _: Reply(307, {"Location": receiver.url("/stolen")})
    at(receiver, endpoints, tenant_id)
    endpoints.create(tenant_id, "http://inner.test/", EVENTS, "")
    end(manager, tenant_id)

    def codes() -> set[str]:
        found = rows(engine, "SELECT DISTINCT error_code FROM webhook_attempts")
        return {row.error_code for row in found}

    def resolve(host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "10.0.0.1"] if host == "inner.test" else [host]

    with delivering(engine, resolve):
        eventually(lambda: len(codes()) == 2, within_s=10)
    assert codes() == {"redirect_refused", "address_refused"}
    assert {one.path for one in receiver.received} == {"/hook"}
    assert value(engine, "SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered'") == 0


def test_rules_that_became_stricter_hold_for_what_waits(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    at(receiver, endpoints, tenant_id)
    end(manager, tenant_id)
    with delivering(engine, webhook_http=False):
        eventually(lambda: value(engine, "SELECT count(*) FROM webhook_attempts"), within_s=10)
    assert receiver.received == []
    codes = rows(engine, "SELECT DISTINCT error_code FROM webhook_attempts")
    assert [row.error_code for row in codes] == ["webhook_url_refused"]


def test_gone_disables_at_once_and_says_so(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints,
    receiver: Receiver, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    receiver.decide = lambda _: Reply(410)
    endpoint, secret = at(receiver, endpoints, tenant_id, "/hook?token=hush-hush")
    end(manager, tenant_id, 3)
    with delivering(engine), caplog.at_level(logging.INFO):
        ended(engine, tenant_id)
        eventually(lambda: endpoints.get(tenant_id, endpoint.id).disabled_reason, within_s=5)
    assert f"the webhook {endpoint.id} is disabled: gone" in caplog.text
    assert "hush-hush" not in caplog.text
    assert secret not in caplog.text


def test_a_replay_tells_the_same_event_again(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    endpoint, _ = at(receiver, endpoints, tenant_id)
    end(manager, tenant_id)
    with delivering(engine):
        [delivery] = ended(engine, tenant_id)
        log.replay(engine, tenant_id, endpoint.id, delivery.id)
        first, second = receiver.wait(2)
        [again] = ended(engine, tenant_id)
    assert (first.id, first.body) == (second.id, second.body)
    assert len(again.attempts) == 2


def test_retry_after_is_obeyed(
    engine: Engine, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    endpoint, _ = at(receiver, endpoints, tenant_id)
    receiver.decide = lambda _: Reply(429, {"Retry-After": "600"})
    log.add_test(engine, tenant_id, endpoint.id, TEST_EVENT)
    with delivering(engine):
        eventually(lambda: value(engine, "SELECT count(*) FROM webhook_attempts"), within_s=10)
    left = value(engine, "SELECT extract(epoch FROM next_at - clock_timestamp())::float8 "
                         "FROM webhook_deliveries")  # fmt: skip
    assert 500 < left <= 600


def test_sealed_secrets_sign_and_stand_in_no_table(
    engine: Engine, manager: TaskManager, tenant_id: UUID, receiver: Receiver
) -> None:
    old_key, key = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    _, secret = at(receiver, Endpoints(engine, Safe(SecretStr(old_key))), tenant_id)
    stored = value(engine, "SELECT secret FROM webhook_endpoints")
    assert secret not in stored
    assert secret.removeprefix("whsec_") not in stored
    end(manager, tenant_id)
    with delivering(engine):
        eventually(lambda: value(engine, "SELECT count(*) FROM webhook_attempts"), within_s=10)
    assert value(engine, "SELECT error_code FROM webhook_attempts LIMIT 1") == (
        WebhookSecretSealed.code
    )
    with delivering(engine, webhook_keys=f"{key},{old_key}"):
        [got] = receiver.wait(1)
    assert verified(secret, got)
    with pytest.raises(WebhookSecretSealed):
        Safe(SecretStr(key)).open(stored)


def test_a_killed_process_s_event_is_told_again_under_the_same_id(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, receiver: Receiver
) -> None:
    """Sent and not marked, as when a process dies in between: its lease runs out."""
    at(receiver, endpoints, tenant_id)
    end(manager, tenant_id)
    with delivering(engine):
        ended(engine, tenant_id)
    rows(engine, "UPDATE webhook_deliveries SET state = 'pending', ended_at = NULL, "
                 "lease = gen_random_uuid(), next_at = clock_timestamp() + interval '0.3 s' "
                 "RETURNING 1")  # fmt: skip
    with delivering(engine):
        first, second = receiver.wait(2)
    assert first.id == second.id
    assert second.at - first.at > 0.2


def test_the_example_acts_once_on_an_event_that_comes_twice(
    engine: Engine, manager: TaskManager, tenant_id: UUID, endpoints: Endpoints, tmp_path: Path
) -> None:
    port = ports.choose()
    endpoint, secret = endpoints.create(tenant_id, f"http://127.0.0.1:{port}/lmaas", EVENTS, "")
    example = [sys.executable, str(ROOT / "examples" / "webhook_receiver.py"), f"--port={port}",
               f"--seen={tmp_path / 'seen.sqlite3'}"]  # fmt: skip
    output = tmp_path / "output"
    with output.open("w") as file:
        environment = os.environ | {"WEBHOOK_SECRET": secret}
        child = subprocess.Popen(example, env=environment, stdout=file, stderr=subprocess.DEVNULL)
    try:
        [job_id] = end(manager, tenant_id)
        with delivering(engine, webhook_pause_s=0.2):
            [delivery] = ended(engine, tenant_id)
            log.replay(engine, tenant_id, endpoint.id, delivery.id)
            [again] = ended(engine, tenant_id)
        forged = httpx.post(f"http://127.0.0.1:{port}/lmaas", json={"id": "evt_1"}, trust_env=False)
    finally:
        child.terminate()
        child.wait(timeout=10)
    assert sum(attempt.http_status == 204 for attempt in again.attempts) == 2
    assert forged.status_code == 401
    said = [line for line in output.read_text().splitlines() if line.startswith("job.")]
    assert said == [f"job.cancelled {job_id}"]
