"""How long a tenant's results and files are kept; null keeps them until they are deleted."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from jobs import audit
from jobs.audit import Actor, Change, Scalar
from jobs.database import run, transact

_SET = text("""
UPDATE tenants SET retain_results_s = :results_s, retain_files_s = :files_s
WHERE name = :name RETURNING id
""")
_GET = text("SELECT retain_results_s, retain_files_s FROM tenants WHERE name = :name")


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds from a job's end, and from a file's creation; None for ever."""

    results_s: int | None
    files_s: int | None


def of_tenant(engine: Engine, name: str) -> Retention | None:
    """What a tenant has; None if there is no tenant of that name."""
    rows = run(engine, _GET, {"name": name})
    return Retention(*rows[0]) if rows else None


def set_retention(engine: Engine, name: str, kept: Retention, by: Actor | None = None) -> bool:
    """Sets it from now on, for what there is already too; False if there is no tenant
    of that name. `by` stands in the audit log, None for an operator."""
    times: dict[str, Scalar] = {"results_s": kept.results_s, "files_s": kept.files_s}

    def work(connection: Connection) -> bool:
        found = connection.execute(_SET, times | {"name": name}).one_or_none()
        if found is not None:
            change = Change("tenant.retention", found.id, times, found.id)
            audit.record(connection, by, change)
        return found is not None

    return transact(engine, work)
