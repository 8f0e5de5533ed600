"""What a tenant's limits leave for work that waits, looked at without taking any of it."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run

_ROOM = text("""
SELECT queued_jobs, greatest(0, queued_jobs - folded_jobs - admitted_jobs) AS jobs_left,
       queued_tokens, greatest(0, queued_tokens - folded_tokens - admitted_tokens) AS tokens_left
FROM tenant_quotas WHERE tenant_id = :tenant_id
  AND (queued_jobs IS NOT NULL OR queued_tokens IS NOT NULL)
""")


@dataclass(frozen=True, slots=True)
class Room:
    """Limits on what waits and what is left of them; None is no limit."""

    queued_jobs: int | None
    jobs_left: int | None
    queued_tokens: int | None
    tokens_left: int | None

    def holds(self, jobs: int, tokens: int) -> bool:
        """Whether so much more could wait at once."""
        few = self.jobs_left is None or jobs <= self.jobs_left
        return few and (self.tokens_left is None or tokens <= self.tokens_left)


def room(engine: Engine, tenant_id: UUID) -> Room | None:
    """The room that a tenant has now, about; None if nothing limits it."""
    rows = run(engine, _ROOM, {"tenant_id": tenant_id})
    return Room(*rows[0]) if rows else None
