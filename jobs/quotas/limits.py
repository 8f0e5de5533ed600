"""Which limits there are, and setting them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from sqlalchemy import Connection, Engine, text

from jobs import audit, tenants
from jobs.audit import Actor, Change
from jobs.database import transact


@dataclass(frozen=True, slots=True)
class Limits:
    """A tenant's limits; None is no limit. Tokens are those of prompts and the most
    that completions may have, as they are known at submit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    queued_jobs: int | None = None
    queued_tokens: int | None = None
    storage_bytes: int | None = None

    @property
    def is_any(self) -> bool:
        """Whether anything is limited."""
        return any(getattr(self, name) is not None for name in NAMES)


NAMES = tuple(field.name for field in fields(Limits))
_COLUMNS = ", ".join(NAMES)

_READ = text(f"SELECT {_COLUMNS} FROM tenant_quotas WHERE tenant_id = :tenant_id")  # noqa: S608
_SET = text(f"""
INSERT INTO tenant_quotas (tenant_id, {_COLUMNS})
VALUES (:tenant_id, {", ".join(f":{name}" for name in NAMES)})
ON CONFLICT (tenant_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in NAMES)}
""")  # noqa: S608 - only constants are joined
_FREE = text("DELETE FROM tenant_quotas WHERE tenant_id = :tenant_id")
# Two changes of one tenant's limits, one after the other, even of a tenant without a row.
_ALONE = text("SELECT FROM tenants WHERE id = :tenant_id FOR UPDATE")


def read(engine: Engine, name: str) -> Limits:
    """The limits of a tenant. Raises `UnknownTenant`."""
    return transact(engine, lambda c: _of(c, {"tenant_id": tenants.find_in(c, name)}))


def change(
    engine: Engine, name: str, changes: Mapping[str, int | None], by: Actor | None = None
) -> Limits:
    """Sets the limits that are named, None taking one away; returns all. They hold for
    requests that begin two seconds later. Raises `UnknownTenant`."""

    def work(connection: Connection) -> Limits:
        tenant = {"tenant_id": tenants.find_in(connection, name)}
        connection.execute(_ALONE, tenant)
        old = _of(connection, tenant)
        limits = Limits(**{key: changes.get(key, getattr(old, key)) for key in NAMES})
        if limits.is_any:
            values = {key: getattr(limits, key) for key in NAMES}
            connection.execute(_SET, values | tenant)
        else:
            connection.execute(_FREE, tenant)
        entry = Change("tenant.limits", tenant["tenant_id"], dict(changes), tenant["tenant_id"])
        audit.record(connection, by, entry)
        return limits

    return transact(engine, work)


def _of(connection: Connection, tenant: Mapping[str, object]) -> Limits:
    found = connection.execute(_READ, tenant).one_or_none()
    return Limits() if found is None else Limits(*found)
