"""How long a tenant's results and files are kept; null keeps them until they are deleted."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from jobs.database import run

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


def set_retention(engine: Engine, name: str, kept: Retention) -> bool:
    """Sets it from now on, for what there is already too; False if there is no tenant
    of that name."""
    values = {"name": name, "results_s": kept.results_s, "files_s": kept.files_s}
    return bool(run(engine, _SET, values))
