"""Tenants and their API keys.

A key is 256 random bits, shown once, stored as its SHA-256: whoever reads the
database cannot use it. Scopes say what a key may do.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.errors import UnknownKey
from jobs.ids import new_id

PREFIX = "lmaas_"


class Scope(StrEnum):
    """What a key may be used for; `admin` includes all others."""

    JOBS = "jobs"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request speaks for."""

    tenant_id: UUID
    key_id: UUID
    scopes: frozenset[str]


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


_TENANT = text("""
INSERT INTO tenants (id, name) VALUES (:id, :name)
ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
""")

_SHOWN = "id, name, prefix, scopes, created_at, expires_at, revoked_at"

_CREATE = text(f"""
INSERT INTO api_keys (id, tenant_id, name, prefix, sha256, scopes, expires_at)
VALUES (:id, :tenant_id, :name, :prefix, :sha256, :scopes, :expires_at) RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

_LIST = text(f"""
SELECT {_SHOWN} FROM api_keys WHERE tenant_id = :tenant_id ORDER BY id
""")  # noqa: S608 - only constants are joined

_REVOKE = text(f"""
UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
WHERE id = :id AND tenant_id = :tenant_id RETURNING {_SHOWN}
""")  # noqa: S608 - only constants are joined

_FIND = text("""
SELECT id, tenant_id, scopes, sha256 FROM api_keys
WHERE sha256 = :sha256 AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")


def ensure_tenant(engine: Engine, name: str) -> UUID:
    """The tenant of that name, made if there is none."""
    rows = run(engine, _TENANT, {"id": new_id(), "name": name})
    return UUID(str(rows[0].id))


def create(
    engine: Engine,
    tenant_id: UUID,
    name: str,
    scopes: Sequence[Scope],
    expires_at: datetime | None = None,
) -> tuple[Key, str]:
    """Makes a key; the second value is the key itself, which is not kept."""
    secret = PREFIX + secrets.token_urlsafe(32)
    values = {
        "id": new_id(),
        "tenant_id": tenant_id,
        "name": name,
        "prefix": secret[: len(PREFIX) + 6],
        "sha256": digest(secret),
        "scopes": [scope.value for scope in scopes],
        "expires_at": expires_at,
    }
    return Key(*(run(engine, _CREATE, values)[0])), secret


def list_keys(engine: Engine, tenant_id: UUID) -> list[Key]:
    """A tenant's keys, oldest first, with those that no longer work."""
    return [Key(*row) for row in run(engine, _LIST, {"tenant_id": tenant_id})]


def revoke(engine: Engine, tenant_id: UUID, key_id: UUID) -> Key:
    """Ends a key for good. Raises `UnknownKey` for a missing or foreign one."""
    rows = run(engine, _REVOKE, {"id": key_id, "tenant_id": tenant_id})
    if not rows:
        raise UnknownKey(f"there is no API key {key_id}")
    return Key(*rows[0])


def authenticate(engine: Engine, secret: str) -> Principal | None:
    """Who a key speaks for, if it is valid now."""
    wanted = digest(secret)
    for row in run(engine, _FIND, {"sha256": wanted}):
        if hmac.compare_digest(bytes(row.sha256), wanted):
            return Principal(row.tenant_id, row.id, frozenset(row.scopes))
    return None


def digest(secret: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
