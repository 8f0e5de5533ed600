"""Tenants as an operator sees them; their keys are in `jobs.keys`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run

_ALL = text("SELECT id, name, weight, created_at FROM tenants ORDER BY name")
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


def set_weight(engine: Engine, name: str, weight: float) -> bool:
    """Sets a tenant's share from the next release on; False if there is none of
    that name. The weight is above 0."""
    return bool(run(engine, _WEIGH, {"name": name, "weight": weight}))
