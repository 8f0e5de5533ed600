"""API keys of tenants.

A key is 256 random bits, shown once, stored as its SHA-256: whoever reads the
database cannot use it. Scopes say what a key may do.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from jobs import audit
from jobs.audit import Actor, Change
from jobs.database import run, transact
from jobs.errors import UnknownKey
from jobs.ids import new_id
from jobs.moments import maybe_in_utc

PREFIX = "lmaas_"


class Scope(StrEnum):
    """What a key may be used for. `admin` includes what belongs to its tenant, and
    reading models; models belong to the installation, so `models:write` stands alone."""

    JOBS = "jobs"
    BATCHES = "batches"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    ADMIN = "admin"


_APART_FROM_ADMIN = frozenset({Scope.MODELS_WRITE.value})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request speaks for; `limited` if its tenant has limits (`jobs.quotas`)."""

    tenant_id: UUID
    key_id: UUID
    scopes: frozenset[str]
    limited: bool = False

    def may(self, scope: Scope) -> bool:
        """Whether the key carries a scope, by itself or by `admin`."""
        by_admin = Scope.ADMIN.value in self.scopes and scope.value not in _APART_FROM_ADMIN
        return by_admin or scope.value in self.scopes


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it may be shown: a prefix to tell it by, never the key."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


_SHOWN = "id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at"

_CREATE = text(f"""
INSERT INTO api_keys (id, tenant_id, name, prefix, sha256, scopes, expires_at)
VALUES (:id, :tenant_id, :name, :prefix, :sha256, :scopes, :expires_at)
ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

_LIST = text(f"""
SELECT {_SHOWN} FROM api_keys WHERE tenant_id = :tenant_id ORDER BY id
""")  # noqa: S608 - only constants are joined

_REVOKE = text(f"""
UPDATE api_keys SET revoked_at = clock_timestamp()
WHERE id = :id AND tenant_id = :tenant_id AND revoked_at IS NULL RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

_GET = text(f"""
SELECT {_SHOWN} FROM api_keys WHERE id = :id AND tenant_id = :tenant_id
""")  # noqa: S608 - only constants are joined

_FIND = text("""
SELECT id, tenant_id, scopes, sha256,
       EXISTS (SELECT FROM tenant_quotas q WHERE q.tenant_id = api_keys.tenant_id) AS limited
FROM api_keys WHERE sha256 = :sha256 AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")


# In the order of ids, so that two processes never wait in a ring.
_USED = text("""
WITH due AS MATERIALIZED (
  SELECT k.id, u.ago_s FROM api_keys k
  JOIN unnest(CAST(:ids AS uuid[]), CAST(:ages_s AS float8[])) u(id, ago_s) ON u.id = k.id
  WHERE k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - interval '1 minute'
  ORDER BY k.id FOR UPDATE OF k
)
UPDATE api_keys k SET last_used_at = greatest(
  k.last_used_at, clock_timestamp() - make_interval(secs => due.ago_s))
FROM due WHERE k.id = due.id RETURNING 1
""")


def create(
    engine: Engine,
    tenant_id: UUID,
    name: str,
    scopes: Sequence[Scope],
    expires_at: datetime | None = None,
    by: Actor | None = None,
) -> tuple[Key, str]:
    """Makes a key; the second value is the key itself, which is not kept. `by` stands
    in the audit log, None for an operator. Raises `InvalidRequest` for an end outside the
    calendar."""
    expires_at = maybe_in_utc(expires_at, "expires_at")
    secret = PREFIX + secrets.token_urlsafe(32)
    id = new_id()
    carried = [scope.value for scope in scopes]
    values = {
        "id": id,
        "tenant_id": tenant_id,
        "name": name,
        "prefix": secret[: len(PREFIX) + 6],
        "sha256": digest(secret),
        "scopes": carried,
        "expires_at": expires_at,
    }
    details = {"name": name, "scopes": " ".join(carried), "expires_at": _said(expires_at)}
    change = Change("key.create", id, details, tenant_id)

    def work(connection: Connection) -> Key:
        made = connection.execute(_CREATE, values).one()
        audit.record(connection, by, change)
        return Key(*made)

    return transact(engine, work), secret


def _said(expires_at: datetime | None) -> str | None:
    return None if expires_at is None else expires_at.isoformat()


def list_keys(engine: Engine, tenant_id: UUID) -> list[Key]:
    """A tenant's keys, oldest first, with those that no longer work."""
    return [Key(*row) for row in run(engine, _LIST, {"tenant_id": tenant_id})]


def revoke(engine: Engine, tenant_id: UUID, key_id: UUID, by: Actor | None = None) -> Key:
    """Ends a key for good. Raises `UnknownKey` for a missing or foreign one."""
    values = {"id": key_id, "tenant_id": tenant_id}

    def work(connection: Connection) -> Key:
        ended = connection.execute(_REVOKE, values).one_or_none()
        if ended is not None:
            change = Change("key.revoke", key_id, {"name": ended.name}, tenant_id)
            audit.record(connection, by, change)
            return Key(*ended)
        found = connection.execute(_GET, values).one_or_none()
        if found is None:
            raise UnknownKey(f"there is no API key {key_id}")
        return Key(*found)

    return transact(engine, work)


def note_uses(engine: Engine, ages_s: Mapping[UUID, float]) -> int:
    """Notes that keys were used so many seconds ago; those that were noted within the
    last minute stay as they are. Returns how many were written."""
    values = {"ids": list(ages_s), "ages_s": list(ages_s.values())}
    return len(run(engine, _USED, values))


def authenticate(engine: Engine, secret: str) -> Principal | None:
    """Who a key speaks for, if it is valid now."""
    wanted = digest(secret)
    for row in run(engine, _FIND, {"sha256": wanted}):
        if hmac.compare_digest(bytes(row.sha256), wanted):
            return Principal(row.tenant_id, row.id, frozenset(row.scopes), row.limited)
    return None


def digest(secret: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
