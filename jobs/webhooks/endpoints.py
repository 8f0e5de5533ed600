"""A tenant's receivers of events, and the secret for the webhooks of its single jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause, text

from jobs import audit
from jobs.audit import Actor, Change
from jobs.database import run, transact
from jobs.ids import new_id
from jobs.webhooks import secrets
from jobs.webhooks.errors import TooManyWebhooks, UnknownWebhook
from jobs.webhooks.secrets import Safe

T = TypeVar("T")

MOST_ENDPOINTS = 20

_SHOWN = """id, url, events, description, created_at, failures, failing_since,
       disabled_at, disabled_reason,
       CASE WHEN old_until > clock_timestamp() THEN old_until END AS old_until"""

# Of two at once both may pass; the bound is there to keep a tenant's list short.
_CREATE = text(f"""
INSERT INTO webhook_endpoints (id, tenant_id, url, events, description, secret)
SELECT :id, :tenant_id, :url, CAST(:events AS text[]), :description, :secret
WHERE (SELECT count(*) FROM webhook_endpoints WHERE tenant_id = :tenant_id AND id <> :id) < :most
ON CONFLICT (id) DO UPDATE SET url = excluded.url
RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

_LIST = text(f"""
SELECT {_SHOWN} FROM webhook_endpoints WHERE tenant_id = :tenant_id ORDER BY id
""")  # noqa: S608 - only constants are joined

_GET = text(f"""
SELECT {_SHOWN} FROM webhook_endpoints WHERE id = :id AND tenant_id = :tenant_id
""")  # noqa: S608 - only constants are joined

_DELETE = text(f"""
DELETE FROM webhook_endpoints WHERE id = :id AND tenant_id = :tenant_id RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

_ENABLE = text(f"""
UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failures = 0,
  failing_since = NULL
WHERE id = :id AND tenant_id = :tenant_id RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

# Run twice, as after a lost connection, the old secret must not be the new one.
_TURN = """secret = :secret,
  old_secret = CASE WHEN w.secret = :secret THEN w.old_secret ELSE w.secret END,
  old_until = clock_timestamp() + interval '24 hours'"""

_ROTATE = text(f"""
UPDATE webhook_endpoints w SET {_TURN}
WHERE id = :id AND tenant_id = :tenant_id RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

_SIGNING = text("""
WITH made AS (
  INSERT INTO webhook_signing_secrets (tenant_id, secret) VALUES (:tenant_id, :secret)
  ON CONFLICT (tenant_id) DO NOTHING RETURNING secret, NULL::timestamptz AS old_until
)
SELECT * FROM made UNION ALL
SELECT secret, CASE WHEN old_until > clock_timestamp() THEN old_until END
FROM webhook_signing_secrets WHERE tenant_id = :tenant_id
""")

_ROTATE_SIGNING = text(f"""
UPDATE webhook_signing_secrets w SET {_TURN}
WHERE tenant_id = :tenant_id RETURNING secret, old_until
""")  # noqa: S608 - only constants are joined


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver as it may be shown, without its secret. `failures` attempts in a
    row have failed, since `failing_since`; until `old_until` two secrets sign."""

    id: UUID
    url: str
    events: list[str]
    description: str
    created_at: datetime
    failures: int
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    old_until: datetime | None


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """What signs the webhooks of a tenant's single jobs."""

    secret: str = field(repr=False)
    old_until: datetime | None


class Endpoints:
    """Those of one installation; every method speaks of one tenant alone, and raises
    `UnknownWebhook` for another's as for a missing one. `by` stands in the audit log,
    None for an operator."""

    def __init__(self, engine: Engine, safe: Safe) -> None:
        self._engine = engine
        self._safe = safe

    def create(
        self,
        tenant_id: UUID,
        url: str,
        events: Sequence[str],
        description: str,
        by: Actor | None = None,
    ) -> tuple[Endpoint, str]:
        """Adds a receiver at a checked URL; the second value is its secret, which
        is not shown again. Raises `TooManyWebhooks`."""
        secret = secrets.make()
        values = {
            "id": new_id(),
            "tenant_id": tenant_id,
            "url": url,
            "events": list(events),
            "description": description,
            "secret": self._safe.seal(secret),
            "most": MOST_ENDPOINTS,
        }
        made = self._changed(_CREATE, values, Change("webhook.create", values["id"]), by)
        if made is None:
            raise TooManyWebhooks(f"there are {MOST_ENDPOINTS} webhooks already; remove one first")
        return made, secret

    def all(self, tenant_id: UUID) -> list[Endpoint]:
        """All of them, oldest first."""
        return [Endpoint(*row) for row in run(self._engine, _LIST, {"tenant_id": tenant_id})]

    def get(self, tenant_id: UUID, id: UUID) -> Endpoint:
        """One of them."""
        rows = run(self._engine, _GET, {"id": id, "tenant_id": tenant_id})
        return Endpoint(*_found(id, rows[0] if rows else None))

    def delete(self, tenant_id: UUID, id: UUID, by: Actor | None = None) -> Endpoint:
        """Takes one out. What waits for it is not sent any more."""
        values = {"id": id, "tenant_id": tenant_id}
        return _found(id, self._changed(_DELETE, values, Change("webhook.delete", id), by))

    def enable(self, tenant_id: UUID, id: UUID, by: Actor | None = None) -> Endpoint:
        """Sends to a disabled one again, what still waits for it first."""
        values = {"id": id, "tenant_id": tenant_id}
        return _found(id, self._changed(_ENABLE, values, Change("webhook.enable", id), by))

    def rotate(self, tenant_id: UUID, id: UUID, by: Actor | None = None) -> tuple[Endpoint, str]:
        """A new secret. For a day both sign, so a receiver may change in its own time."""
        secret = secrets.make()
        values = {"id": id, "tenant_id": tenant_id, "secret": self._safe.seal(secret)}
        turned = self._changed(_ROTATE, values, Change("webhook.rotate", id), by)
        return _found(id, turned), secret

    def _changed(
        self, statement: TextClause, values: Mapping[str, Any], change: Change, by: Actor | None
    ) -> Endpoint | None:
        """The receiver as it is then; None, and nothing in the audit log, if there is
        none. Only the URL's host is written down: the rest may hold a token."""

        def work(connection: Connection) -> Endpoint | None:
            row = connection.execute(statement, values).one_or_none()
            if row is None:
                return None
            told = {"host": urlsplit(row.url).hostname, "events": " ".join(row.events)}
            entry = replace(change, details=told, tenant_id=values["tenant_id"])
            audit.record(connection, by, entry)
            return Endpoint(*row)

        return transact(self._engine, work)

    def signing_secret(self, tenant_id: UUID) -> SigningSecret:
        """The tenant's secret for single jobs, made if there is none."""
        values = {"tenant_id": tenant_id, "secret": self._safe.seal(secrets.make())}
        rows = run(self._engine, _SIGNING, values)
        if not rows:  # somebody made it just now, which this statement cannot see yet
            return self.signing_secret(tenant_id)
        return SigningSecret(self._safe.open(rows[0].secret), rows[0].old_until)

    def rotate_signing_secret(self, tenant_id: UUID, by: Actor | None = None) -> SigningSecret:
        """A new one. For a day both sign."""
        self.signing_secret(tenant_id)
        secret = secrets.make()
        values = {"tenant_id": tenant_id, "secret": self._safe.seal(secret)}
        change = Change("webhook.rotate_signing", tenant_id, tenant_id=tenant_id)

        def work(connection: Connection) -> SigningSecret:
            row = connection.execute(_ROTATE_SIGNING, values).one()
            audit.record(connection, by, change)
            return SigningSecret(secret, row.old_until)

        return transact(self._engine, work)


def _found(id: UUID, endpoint: T | None) -> T:
    if endpoint is None:
        raise UnknownWebhook(f"there is no webhook {str(id)!r}; GET /v1/webhooks lists yours")
    return endpoint
