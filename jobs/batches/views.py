"""What may be seen of batches: always within one tenant, counted at every read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.batches.envelopes import Counts, Fault
from jobs.batches.names import batch_name, unknown_batch
from jobs.batches.states import BATCH_TERMINAL, BatchState
from jobs.database import run

# One statement, so one moment: what is counted makes up the total whatever goes on.
# Lines that share an earlier one's job count like that one.
_COUNTED = """
SELECT b.id, b.tenant_id, b.endpoint, b.input_file_id, b.status, b.completion_window, b.priority,
  b.labels, b.created_at, b.in_progress_at, b.finalizing_at, b.completed_at, b.failed_at,
  b.cancelling_at, b.cancelled_at, b.expires_at, b.expired_at, b.error, b.output_file_id,
  b.error_file_id, b.prompt_tokens, b.completion_tokens, b.paused, b.open, b.dedupe, b.retry_of,
  b.dry_run, b.report, b.client_address,
  b.lines, b.refused, jobs.counts AS jobs, same.counts AS same
FROM batches b
CROSS JOIN LATERAL (SELECT json_object_agg(state, number) AS counts FROM (
  SELECT state, count(*) AS number FROM jobs WHERE batch_id = b.id GROUP BY state) s) jobs
CROSS JOIN LATERAL (SELECT json_object_agg(state, number) AS counts FROM (
  SELECT j.state, count(*) AS number FROM batch_lines l JOIN jobs j ON j.id = l.job_id
  WHERE l.batch_id = b.id AND l.same_as IS NOT NULL GROUP BY j.state) s) same
WHERE b.tenant_id = :tenant_id
"""

_GET = text(f"{_COUNTED} AND b.id = :id")

_LIST = text(f"""
{_COUNTED} AND b.id IN (
  SELECT id FROM batches WHERE tenant_id = :tenant_id
    AND (CAST(:after AS uuid) IS NULL OR id < :after)
  ORDER BY id DESC LIMIT :limit)
ORDER BY b.id DESC
""")  # noqa: S608 - only constants are joined

_KNOWN = text("SELECT FROM batches WHERE id = :id AND tenant_id = :tenant_id")


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch as it stood when it was read."""

    id: UUID
    tenant_id: UUID
    endpoint: str
    input_file_id: UUID | None
    status: str
    window: str
    priority: str
    labels: dict[str, str]
    created_at: datetime
    in_progress_at: datetime | None
    finalizing_at: datetime | None
    completed_at: datetime | None
    failed_at: datetime | None
    cancelling_at: datetime | None
    cancelled_at: datetime | None
    expires_at: datetime
    expired_at: datetime | None
    faults: list[Fault] | None
    output_file_id: UUID | None
    error_file_id: UUID | None
    prompt_tokens: int | None
    completion_tokens: int | None
    paused: bool
    open: bool
    dedupe: bool
    retry_of: UUID | None
    dry_run: bool
    report: dict[str, Any] | None
    client_address: str
    counts: Counts

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return BatchState(self.status) in BATCH_TERMINAL


def get(engine: Engine, tenant_id: UUID, batch_id: UUID) -> BatchView | None:
    """One batch of a tenant; somebody else's is `None` like a missing one."""
    rows = run(engine, _GET, {"tenant_id": tenant_id, "id": batch_id})
    return _view(rows[0]) if rows else None


def list_batches(
    engine: Engine, tenant_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> list[BatchView]:
    """A tenant's batches, newest first, those that come after the batch `after`. Raises
    `UnknownBatch` for one that the tenant does not have."""
    if after is not None and not run(engine, _KNOWN, {"id": after, "tenant_id": tenant_id}):
        raise unknown_batch(batch_name(after))
    values = {"tenant_id": tenant_id, "after": after, "limit": limit}
    return [_view(row) for row in run(engine, _LIST, values)]


def _view(row: Sequence[Any]) -> BatchView:
    *fields, lines, refused, jobs, same = row
    parts: dict[str, int] = dict(jobs or {})
    for state, number in (same or {}).items():
        parts[state] = parts.get(state, 0) + number
    return BatchView(*[*fields, Counts(total=lines, refused=refused, **parts)])
