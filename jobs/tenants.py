"""Tenants as an operator sees them; their keys are in `jobs.keys`, limits in `jobs.quotas`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from jobs import audit
from jobs.audit import Actor, Change
from jobs.database import run, transact
from jobs.ids import new_id
from jobs.tenant_errors import UnknownTenant

_ALL = text("SELECT id, name, weight, created_at FROM tenants ORDER BY name")
_FIND = text("SELECT id FROM tenants WHERE name = :name")
_ADD = text("""
INSERT INTO tenants (id, name) VALUES (:id, :name) ON CONFLICT (name) DO NOTHING RETURNING id
""")
_WEIGH = text("UPDATE tenants SET weight = :weight WHERE name = :name RETURNING id")


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who jobs belong to. `weight` is its share of a busy model beside the others'."""

    id: UUID
    name: str
    weight: float
    created_at: datetime


def list_tenants(engine: Engine) -> list[Tenant]:
    """All of them, by name."""
    return [Tenant(*row) for row in run(engine, _ALL, {})]


def find(engine: Engine, name: str) -> UUID:
    """The tenant of that name. Raises `UnknownTenant`."""
    return transact(engine, lambda connection: find_in(connection, name))


def find_in(connection: Connection, name: str) -> UUID:
    """The same in the caller's transaction."""
    found = connection.execute(_FIND, {"name": name}).one_or_none()
    if found is None:
        raise UnknownTenant(
            f"there is no tenant {name[:64]!r}; `python -m api.tenants ls` shows all"
        )
    return UUID(str(found.id))


def ensure(engine: Engine, name: str, by: Actor | None = None) -> UUID:
    """The tenant of that name, made if there is none. `by` stands in the audit log,
    None for an operator."""
    id = new_id()
    change = Change("tenant.add", id, {"name": name}, id)

    def work(connection: Connection) -> UUID:
        if connection.execute(_ADD, {"id": id, "name": name}).one_or_none() is not None:
            audit.record(connection, by, change)
        return find_in(connection, name)

    return transact(engine, work)


def set_weight(engine: Engine, name: str, weight: float, by: Actor | None = None) -> None:
    """Sets a tenant's share from the next release on; it is above 0. Raises `UnknownTenant`."""

    def work(connection: Connection) -> None:
        id = find_in(connection, name)
        connection.execute(_WEIGH, {"name": name, "weight": weight})
        audit.record(connection, by, Change("tenant.weight", id, {"weight": weight}, id))

    transact(engine, work)
