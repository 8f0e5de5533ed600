"""How many bytes a tenant's files may hold.

Summed up when something is to be added, from an index of the tenant's own; two at once
may both pass, so the limit can be passed by what is being brought at that moment.
"""

from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.quotas.admission import LATER_S
from jobs.tenant_errors import QuotaExceeded

# Parts of uploads that are not complete are held as well.
_HELD = text("""
SELECT q.storage_bytes AS most, CAST(
  coalesce((SELECT sum(size_bytes) FROM files
            WHERE tenant_id = q.tenant_id AND erased_at IS NULL), 0)
  + coalesce((SELECT sum(p.size_bytes) FROM uploads u JOIN upload_parts p ON p.upload_id = u.id
              WHERE u.tenant_id = q.tenant_id AND u.state = 'pending'), 0) AS int8) AS held
FROM tenant_quotas q WHERE q.tenant_id = :tenant_id AND q.storage_bytes IS NOT NULL
""")


def check_storage(engine: Engine, tenant_id: UUID, more_bytes: int) -> None:
    """Raises `QuotaExceeded` if the tenant's files would hold more than they may; with 0
    bytes, if nobody knows yet how many come, if they do already."""
    for row in run(engine, _HELD, {"tenant_id": tenant_id}):
        if row.held + more_bytes > row.most:
            raise QuotaExceeded(
                _said(row.held, row.most, more_bytes),
                limit="storage_bytes",
                retry_after_s=LATER_S,
                again=False,  # nothing that waiting does makes room
            )


def _said(held: int, most: int, more_bytes: int) -> str:
    if more_bytes > most:
        return f"this has more than the {most:,} bytes that all of the tenant's files may hold"
    said = f"the tenant's files hold {held:,} of {most:,} bytes"
    if more_bytes:
        said += f", which leaves no room for {more_bytes:,} more"
    return f"{said}; delete some, or wait until some expire"
