"""What a job was asked, read back: its input, and what its route keeps of the request."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run

_READ = text("""
SELECT i.input, i.asked, i.parameters FROM jobs j JOIN job_inputs i ON i.job_id = j.id
WHERE j.id = :id AND j.tenant_id = :tenant_id
""")


@dataclass(frozen=True, slots=True)
class JobInput:
    """`asked` is None for a native job."""

    input: dict[str, Any]
    asked: dict[str, Any] | None
    parameters: dict[str, Any]


def read(engine: Engine, tenant_id: UUID, job_id: UUID) -> JobInput | None:
    """The input of a job of a tenant; None if there is no such job, or no input any more."""
    rows = run(engine, _READ, {"id": job_id, "tenant_id": tenant_id})
    return JobInput(*rows[0]) if rows and rows[0].input else None
