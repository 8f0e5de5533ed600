"""Tells receivers what is due: many at once, each in a thread of its own.

Everything waits in Postgres. A slow receiver holds its few threads and no others;
a process that dies between the answer and its mark lets the event be told again,
under the same id.
"""

import json
import logging
import random
import ssl
import threading
import time
from datetime import UTC, datetime

from sqlalchemy import Engine
from standardwebhooks import Webhook

from dispatcher import chores
from dispatcher.safe_connection import DeliveryFailed, Door, Resolve, addresses, post
from jobs.errors import DatabaseUnavailable
from jobs.failpoints import reach
from jobs.settings import Settings
from jobs.webhooks import retention
from jobs.webhooks.endpoints import Endpoints
from jobs.webhooks.errors import WebhookSecretSealed, WebhookUrlRefused
from jobs.webhooks.outbox import Answer, Due, Outbox
from jobs.webhooks.secrets import Safe
from jobs.webhooks.urls import Rules, check
from lmaas.version import __version__

MOST_AT_ONCE = 64
LOOK_EVERY_S = 0.5
_LONGEST_PAUSE_S = 4 * 3600.0

log = logging.getLogger(__name__)


class WebhookDelivery:
    """See the module. `resolve` and `context` are the system's unless given."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        resolve: Resolve = addresses,
        context: ssl.SSLContext | None = None,
    ) -> None:
        # Of three parts one is the attempt, the rest a resolver's patience and a margin.
        self._lease_s = 3 * settings.webhook_timeout_s
        self._outbox = Outbox(engine, self._lease_s)
        self._safe = Safe(settings.webhook_keys)
        self._endpoints = Endpoints(engine, self._safe)
        self._pause_s = settings.webhook_pause_s
        self._door = Door(
            Rules.of(settings),
            context or ssl.create_default_context(),
            settings.webhook_timeout_s,
            resolve,
        )
        self._room = threading.Condition()
        self._free = MOST_AT_ONCE

    def run(self, stopping: threading.Event) -> object:
        """Takes what is due, as far as there is room, and begins to tell it. `MORE`
        if there may be more."""
        more = self._outbox.spread()
        with self._room:
            self._room.wait_for(lambda: self._free > 0, timeout=LOOK_EVERY_S)
            free = self._free
        if not free:
            return chores.MORE
        found = self._outbox.claim(free)
        for due in found:
            with self._room:
                self._free -= 1
            threading.Thread(target=self._deliver, args=(due, stopping), name="webhook").start()
        return chores.MORE if found or more else None

    def _deliver(self, due: Due, stopping: threading.Event) -> None:
        try:
            until = time.monotonic() + self._lease_s
            answer = self._try(due)
            reach("housekeeper.delivered")
            self._mark(due, answer, until, stopping)
        except DatabaseUnavailable as error:  # before anything was sent
            log.warning("webhooks: %s", error.message)
        finally:
            with self._room:
                self._free += 1
                self._room.notify()

    def _try(self, due: Due) -> Answer:
        began = time.monotonic()
        try:
            body = _body(due)
            target = check(due.url, self._door.rules)
            status = post(self._door, target, self._headers(due, body), body.encode())
            return Answer(time.monotonic() - began, status)
        except DeliveryFailed as failed:
            pause_s = max(self._pause(due.tries), failed.retry_after_s or 0.0)
            code, reason, status_seen = failed.code, failed.reason, failed.http_status
        except (WebhookUrlRefused, WebhookSecretSealed) as error:
            pause_s = self._pause(due.tries)
            code, reason, status_seen = error.code, error.message, None
        return Answer(time.monotonic() - began, status_seen, code, reason, code == "gone", pause_s)

    def _headers(self, due: Due, body: str) -> dict[str, str]:
        stored = due.secrets
        secrets = [self._safe.open(secret) for secret in stored] or [
            self._endpoints.signing_secret(due.tenant_id).secret
        ]
        now = datetime.now(UTC)
        signatures = [Webhook(secret).sign(_event_id(due), now, body) for secret in secrets]
        return {
            "Content-Type": "application/json",
            "User-Agent": f"lmaas/{__version__}",
            "webhook-id": _event_id(due),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _pause(self, tries: int) -> float:
        """Tripled with every attempt, give or take a quarter."""
        return min(_LONGEST_PAUSE_S, self._pause_s * 3.0 ** min(tries - 1, 20)) * random.uniform(
            0.75, 1.25
        )

    def _mark(self, due: Due, answer: Answer, until: float, stopping: threading.Event) -> None:
        """Writes it down, as long as that is worth it: after its lease it is told again."""
        while True:
            try:
                marked = self._outbox.mark(due, answer)
                break
            except DatabaseUnavailable as error:
                log.warning("webhooks: %s", error.message)
                if time.monotonic() > until or stopping.wait(1.0):
                    return
        receiver = due.endpoint_id or "of a single job"
        log.info("webhook %s: %s %s", receiver, _event_id(due), answer.error_code or "delivered")
        if marked is not None and marked.disabled is not None:
            log.warning("the webhook %s is disabled: %s", receiver, marked.disabled)


def _event_id(due: Due) -> str:
    return f"evt_{due.event_id.hex}"


def _body(due: Due) -> str:
    """What is sent: which event and of what, never a prompt or a completion."""
    event = {
        "id": _event_id(due),
        "object": "event",
        "type": due.type,
        "created_at": int(due.created_at.timestamp()),
        "data": {"id": due.subject},
    }
    return json.dumps(event, separators=(",", ":"))


def tidy(engine: Engine) -> object:
    """Ends what could not be told in its day and forgets what ended a week ago, a
    piece at a time."""
    return chores.MORE if retention.give_up(engine) + retention.forget(engine) else None
