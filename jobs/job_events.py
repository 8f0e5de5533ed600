"""What happened to jobs, for those who watch them: the read side of `job_events`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run

_EVENTS = text("""
SELECT id, job_id, at, kind, attempt, reason FROM job_events
WHERE job_id = ANY(CAST(:ids AS uuid[])) AND id > :after ORDER BY id
""")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job; ids grow with every event."""

    id: int
    job_id: UUID
    at: datetime
    kind: str
    attempt: int
    reason: str | None


def events(engine: Engine, ids: Sequence[UUID], after: int = 0) -> list[Event]:
    """What happened to these jobs since the event `after`, in order; the caller
    knows whose jobs they are."""
    return [Event(*row) for row in run(engine, _EVENTS, {"ids": list(ids), "after": after})]
