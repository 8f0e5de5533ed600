"""The audit log: every change of what keys, tenants and operators decide.

Who, what, when and from where, added in the transaction of the change itself: the
change and its entry are there together or not at all. A trigger in Postgres refuses to
change or take out an entry. Never a secret, never what users send to models.
"""

import getpass
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from jobs.database import run
from jobs.ids import new_id

Scalar = str | int | float | bool | None

_MOST_DETAILS = 16
_LONGEST = 200

_RECORD = text("""
INSERT INTO audit_log (id, tenant_id, actor, key_id, address, action, target_kind, target_id,
                       details)
VALUES (:id, :tenant_id, :actor, :key_id, :address, :action, :target_kind, :target_id,
        CAST(:details AS jsonb))
ON CONFLICT (id) DO NOTHING
""")

_SHOWN = "id, at, tenant_id, actor, key_id, address, action, target_kind, target_id, details"
_PAGE = """
  AND (CAST(:before AS uuid) IS NULL OR id < :before)
  AND (CAST(:action AS text) IS NULL OR action = :action)
ORDER BY id DESC LIMIT :limit
"""
_OF_TENANT = text(f"SELECT {_SHOWN} FROM audit_log WHERE tenant_id = :tenant_id {_PAGE}")  # noqa: S608
_OF_ALL = text(f"SELECT {_SHOWN} FROM audit_log WHERE true {_PAGE}")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: a key of a tenant, or whoever runs the installation."""

    kind: Literal["key", "operator"]
    address: str
    tenant_id: UUID | None = None
    key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `action` is `kind.verb`; `details` are small scalars. `tenant_id` is
    whom it concerns, by default the actor's own tenant. A change that is recorded twice,
    because its transaction ran twice, is one entry."""

    action: str
    target_id: object
    details: Mapping[str, Scalar] = field(default_factory=dict)
    tenant_id: UUID | None = None
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Entry:
    """A change as it stands in the log."""

    id: UUID
    at: datetime
    tenant_id: UUID | None
    actor: str
    key_id: UUID | None
    address: str
    action: str
    target_kind: str
    target_id: str
    details: dict[str, Any]


def operator() -> Actor:
    """Whoever runs a command of the installation: account and machine."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        account = str(os.getuid())
    return Actor("operator", f"{account}@{socket.gethostname()}")


def record(connection: Connection, by: Actor | None, change: Change) -> None:
    """Adds an entry in the caller's transaction. Nobody named (`by` is None) is an
    operator: whoever calls this without a key reaches the database anyway."""
    who = by or operator()
    connection.execute(
        _RECORD,
        {
            "id": change.id,
            "tenant_id": change.tenant_id or who.tenant_id,
            "actor": who.kind,
            "key_id": who.key_id,
            "address": who.address[:_LONGEST],
            "action": change.action,
            "target_kind": change.action.partition(".")[0],
            "target_id": str(change.target_id)[:_LONGEST],
            "details": json.dumps(_bounded(change.details)),
        },
    )


def _bounded(details: Mapping[str, Scalar]) -> dict[str, Scalar]:
    chosen = list(details.items())[:_MOST_DETAILS]
    return {key: value[:_LONGEST] if isinstance(value, str) else value for key, value in chosen}


@dataclass(frozen=True, slots=True)
class Page:
    """Which entries, newest first; `before` is the last id of the page before."""

    limit: int = 20
    before: UUID | None = None
    action: str | None = None


def of_tenant(engine: Engine, tenant_id: UUID, page: Page) -> list[Entry]:
    """What concerns one tenant."""
    values = {"tenant_id": tenant_id, **_values(page)}
    return [Entry(*row) for row in run(engine, _OF_TENANT, values)]


def of_all(engine: Engine, page: Page) -> list[Entry]:
    """Everything, for whoever runs the installation."""
    return [Entry(*row) for row in run(engine, _OF_ALL, _values(page))]


def _values(page: Page) -> dict[str, Any]:
    return {"limit": page.limit, "before": page.before, "action": page.action}
