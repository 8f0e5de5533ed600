"""Webhooks, seen from outside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lmaas.errors import BadUsage
from lmaas.reading import answer, read_list, read_time
from lmaas.transport import Transport


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of events. `secret` is given only by `add` and `rotate`."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    status: str
    disabled_at: datetime | None
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    old_secret_until: datetime | None
    secret: str | None


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """One request to a receiver; it succeeded if there is no `error_code`."""

    at: datetime | None
    duration_ms: int
    http_status: int | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver, with its latest attempts, oldest first."""

    id: str
    webhook: str | None
    event: str
    type: str
    subject: str
    status: str
    created_at: datetime | None
    next_attempt_at: datetime | None
    attempts: tuple[WebhookAttempt, ...]


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """What signs the webhooks of single jobs."""

    secret: str
    old_secret_until: datetime | None


class Webhooks:
    """The webhooks of the tenant that the client's key belongs to; the key needs the
    scope `admin`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(
        self, url: str, *, events: Sequence[str] | None = None, description: str = ""
    ) -> Webhook:
        """A new receiver, of all events unless some are named; its secret is in
        `secret` this one time."""
        body: dict[str, Any] = {"url": url, "description": description}
        if events:
            body["events"] = list(events)
        # Sent twice it would make two, so a lost answer is an error.
        made = self._transport.request("POST", "/v1/webhooks", body=body, repeatable=False)
        return read_webhook(made)

    def ls(self) -> list[Webhook]:
        """All of them, without their secrets."""
        return read_list(self._transport.request("GET", "/v1/webhooks"), read_webhook)

    def rm(self, webhook_id: str) -> Webhook:
        """Takes one out; what waits for it is not sent."""
        return read_webhook(self._transport.request("DELETE", _path(webhook_id)))

    def enable(self, webhook_id: str) -> Webhook:
        """Sends to a disabled one again."""
        return read_webhook(self._transport.request("POST", _path(webhook_id, "enable")))

    def rotate(self, webhook_id: str) -> Webhook:
        """A new secret, in `secret` this one time; for a day the old one signs as well."""
        path = _path(webhook_id, "rotate")
        return read_webhook(self._transport.request("POST", path, repeatable=False))

    def test(self, webhook_id: str) -> Delivery:
        """Sends it an event of the type webhook.test; the log tells how it went."""
        path = _path(webhook_id, "test")
        return read_delivery(self._transport.request("POST", path, repeatable=False))

    def log(
        self, webhook_id: str | None = None, *, status: str | None = None,
        subject: str | None = None, page: int = 100,
    ) -> Iterator[Delivery]:  # fmt: skip
        """What a receiver was told, or what was told of `subject` (a job, response or
        batch); newest first, page by page."""
        if (webhook_id is None) == (subject is None):
            raise BadUsage("name a webhook, or a job, response or batch")
        path = _path(webhook_id, "deliveries") if webhook_id else "/v1/webhooks/deliveries"
        query: dict[str, str | int] = {"limit": page}
        query |= {"status": status} if status else {}
        query |= {"subject": subject} if subject else {}
        while True:
            body = self._transport.request("GET", path, query=query)
            yield from read_list(body, read_delivery)
            if not body.get("next_cursor"):
                return
            query["cursor"] = body["next_cursor"]

    def replay(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Tells one event again, under its own id."""
        path = _path(webhook_id, "deliveries", delivery_id, "replay")
        return read_delivery(self._transport.request("POST", path))

    def replay_since(
        self, webhook_id: str, since: datetime, until: datetime | None = None,
        *, status: str | None = "failed",
    ) -> int:  # fmt: skip
        """Tells all events of a time again that ended so (None: however they did), up
        to 10,000; returns how many."""
        body = {"since": _moment(since), "until": until and _moment(until), "status": status}
        path = _path(webhook_id, "deliveries", "replay")
        return int(self._transport.request("POST", path, body=body)["replayed"])

    def signing_secret(self) -> SigningSecret:
        """What signs the webhooks of single jobs."""
        return _signing(self._transport.request("GET", "/v1/webhooks/signing-secret"))

    def rotate_signing_secret(self) -> SigningSecret:
        """A new one; for a day the old one signs as well."""
        path = "/v1/webhooks/signing-secret/rotate"
        return _signing(self._transport.request("POST", path, repeatable=False))


def _path(*parts: str) -> str:
    for part in parts:
        if not part or not all(letter.isalnum() or letter == "-" for letter in part):
            raise BadUsage(f"{part!r} is not an id of a webhook or delivery")
    return "/".join(("/v1/webhooks", *parts))


def _moment(at: datetime) -> str:
    if at.tzinfo is None:
        raise BadUsage("a time without a time zone; use datetime.now(UTC) and the like")
    return at.isoformat()


@answer
def read_webhook(body: Mapping[str, Any]) -> Webhook:
    """A receiver from the server's JSON."""
    return Webhook(
        id=body["id"],
        url=body["url"],
        events=tuple(body["events"]),
        description=body.get("description", ""),
        status=body["status"],
        disabled_at=read_time(body.get("disabled_at")),
        disabled_reason=body.get("disabled_reason"),
        failures=body.get("failures", 0),
        failing_since=read_time(body.get("failing_since")),
        old_secret_until=read_time(body.get("old_secret_until")),
        secret=body.get("secret"),
    )


@answer
def read_delivery(body: Mapping[str, Any]) -> Delivery:
    """A delivery from the server's JSON."""
    plain = {name: body[name] for name in ("id", "webhook", "event", "type", "subject", "status")}
    return Delivery(
        **plain,
        created_at=read_time(body.get("created_at")),
        next_attempt_at=read_time(body.get("next_attempt_at")),
        attempts=tuple(_attempt(each) for each in body.get("attempts", ())),
    )


def _attempt(body: Mapping[str, Any]) -> WebhookAttempt:
    error = body.get("error") or {}
    return WebhookAttempt(
        at=read_time(body.get("at")),
        duration_ms=body.get("duration_ms", 0),
        http_status=body.get("http_status"),
        error_code=error.get("code"),
        error_message=error.get("message"),
    )


@answer
def _signing(body: Mapping[str, Any]) -> SigningSecret:
    return SigningSecret(body["secret"], read_time(body.get("old_secret_until")))
