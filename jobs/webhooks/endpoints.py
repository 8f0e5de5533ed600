"""A tenant's receivers of events, and the secret for the webhooks of its single jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause, text

from jobs import audit
from jobs.audit import Actor, Change, Scalar
from jobs.database import run, transact
from jobs.ids import new_id
from jobs.webhooks import secrets
from jobs.webhooks.errors import TooManyWebhooks, UnknownWebhook
from jobs.webhooks.secrets import Safe

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
    `UnknownWebhook` for another's as for a missing one. `by` stands in the audit log."""

    def __init__(self, engine: Engine, safe: Safe) -> None:
        self._engine = engine
        self._safe = safe

    def create(
        self, tenant_id: UUID, url: str, events: Sequence[str], description: str,
        by: Actor | None = None,
    ) -> tuple[Endpoint, str]:  # fmt: skip
        """Adds a receiver at a checked URL; the second value is its secret, which
        is not shown again. Raises `TooManyWebhooks`."""
        secret, id = secrets.make(), new_id()
        values = {
            "id": id,
            "tenant_id": tenant_id,
            "url": url,
            "events": list(events),
            "description": description,
            "secret": self._safe.seal(secret),
            "most": MOST_ENDPOINTS,
        }
        # Of the URL only where it leads: the rest of it may be a secret.
        told: dict[str, Scalar] = {"host": urlsplit(url).hostname, "events": " ".join(events)}
        made = self._changed(_CREATE, values, Change("webhook.create", id, told, tenant_id), by)
        if made is None:
            raise TooManyWebhooks(f"there are {MOST_ENDPOINTS} webhooks already; remove one first")
        return Endpoint(*made), secret

    def all(self, tenant_id: UUID) -> list[Endpoint]:
        """All of them, oldest first."""
        return [Endpoint(*row) for row in run(self._engine, _LIST, {"tenant_id": tenant_id})]

    def get(self, tenant_id: UUID, id: UUID) -> Endpoint:
        """One of them."""
        for row in run(self._engine, _GET, {"id": id, "tenant_id": tenant_id}):
            return Endpoint(*row)
        raise _unknown(id)

    def delete(self, tenant_id: UUID, id: UUID, by: Actor | None = None) -> Endpoint:
        """Takes one out. What waits for it is not sent any more."""
        return self._change(_DELETE, Change("webhook.delete", id, tenant_id=tenant_id), by)

    def enable(self, tenant_id: UUID, id: UUID, by: Actor | None = None) -> Endpoint:
        """Sends to a disabled one again, what still waits for it first."""
        return self._change(_ENABLE, Change("webhook.enable", id, tenant_id=tenant_id), by)

    def rotate(self, tenant_id: UUID, id: UUID, by: Actor | None = None) -> tuple[Endpoint, str]:
        """A new secret. For a day both sign, so a receiver may change in its own time."""
        secret = secrets.make()
        change = Change("webhook.rotate", id, tenant_id=tenant_id)
        return self._change(_ROTATE, change, by, secret=self._safe.seal(secret)), secret

    def _change(
        self, statement: TextClause, change: Change, by: Actor | None, **more: str
    ) -> Endpoint:
        values = {"id": change.target_id, "tenant_id": change.tenant_id, **more}
        changed = self._changed(statement, values, change, by)
        if changed is None:
            raise _unknown(change.target_id)
        return Endpoint(*changed)

    def _changed(
        self, statement: TextClause, values: Mapping[str, Any], change: Change, by: Actor | None
    ) -> Any:
        """The row that a statement gives, and the change in the audit log, together."""

        def work(connection: Connection) -> Any:
            found = connection.execute(statement, values).one_or_none()
            if found is not None:
                audit.record(connection, by, change)
            return found

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
        turned = self._changed(_ROTATE_SIGNING, values, change, by)
        return SigningSecret(secret, turned.old_until)


def _unknown(id: object) -> UnknownWebhook:
    return UnknownWebhook(f"there is no webhook {str(id)!r}; GET /v1/webhooks lists yours")
