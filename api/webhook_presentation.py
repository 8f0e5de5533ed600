"""How webhooks look on the wire; see `api.webhook_schemas`."""

from datetime import UTC, datetime
from typing import Any

from api.moments import maybe, moment
from jobs.webhooks.endpoints import Endpoint, SigningSecret
from jobs.webhooks.log import Attempt, Delivery


def webhook(shown: Endpoint, secret: str | None = None) -> dict[str, Any]:
    """A receiver as `WebhookAnswer` says."""
    body = {
        "id": str(shown.id),
        "object": "webhook",
        "url": shown.url,
        "events": shown.events,
        "description": shown.description,
        "created_at": moment(shown.created_at),
        "status": "enabled" if shown.disabled_at is None else "disabled",
        "disabled_at": maybe(shown.disabled_at),
        "disabled_reason": shown.disabled_reason,
        "failures": shown.failures,
        "failing_since": maybe(shown.failing_since),
        "old_secret_until": maybe(shown.old_until),
    }
    return body if secret is None else body | {"secret": secret}


def signing_secret(shown: SigningSecret) -> dict[str, Any]:
    """What signs the webhooks of single jobs."""
    return {
        "object": "signing_secret",
        "secret": shown.secret,
        "old_secret_until": maybe(shown.old_until),
    }


def delivery(shown: Delivery) -> dict[str, Any]:
    """A delivery as `DeliveryAnswer` says."""
    return {
        "id": str(shown.id),
        "object": "webhook.delivery",
        "webhook": None if shown.endpoint_id is None else str(shown.endpoint_id),
        "event": f"evt_{shown.event_id.hex}",
        "type": shown.type,
        "subject": shown.subject,
        "status": shown.state,
        "created_at": moment(shown.created_at),
        "ended_at": maybe(shown.ended_at),
        "next_attempt_at": maybe(shown.next_at),
        "attempts": [_attempt(attempt) for attempt in shown.attempts],
    }


def _attempt(shown: Attempt) -> dict[str, Any]:
    error = None
    if shown.error_code is not None:
        error = {"code": shown.error_code, "message": shown.reason or shown.error_code}
    return {
        "at": moment(datetime.fromtimestamp(shown.at, UTC)),
        "duration_ms": shown.duration_ms,
        "http_status": shown.http_status,
        "error": error,
    }
