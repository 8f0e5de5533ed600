"""What an outlook speaks of: a job as far as its turn depends on it, what goes
before it, and when it will run."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from jobs.envelopes import NewJob
from jobs.outlook.components import DISPATCHER, MISSED_AFTER_S
from jobs.outlook.crash_loops import Crashes
from jobs.outlook.estimates import Interval
from jobs.states import CLASS_OFFSET_S, Priority, State

# Where counting ends.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """A job as far as its turn depends on it, stored already or not.
    `turn` is that of a released job."""

    model: str
    version: int
    tenant_id: UUID
    priority: Priority
    rank: datetime
    prompt_tokens: int
    max_tokens: int
    turn: float | None = None
    floor: float | None = None
    run_at: datetime | None = None
    running_since: datetime | None = None
    # Its batch is paused.
    held: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """How many jobs go before one, and whose: of higher classes, else the
    tenant's own, or of other tenants. `more`: at least so many."""

    higher: float = 0.0
    own: float = 0.0
    others: float = 0.0
    more: bool = False

    @property
    def jobs(self) -> int:
        """All of them."""
        return round(self.higher + self.own + self.others)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What holds for a job at `now`. `start` and `finish` are seconds from
    then, None if they cannot be known, and then `unknown` is why. `model` is the row
    of `outlook_statements.MODEL`."""

    now: datetime
    model: Any
    crashes: Crashes | None
    before: Before | None = None
    running: int = 0
    start: Interval | None = None
    finish: Interval | None = None
    unknown: str | None = None

    @property
    def looping(self) -> bool:
        """Whether the model version's workers die again and again."""
        return self.crashes is not None and self.crashes.looping

    @property
    def dispatcher_missed(self) -> bool:
        """Whether no dispatcher has been seen for too long."""
        age_s = self.model.dispatcher_age_s
        return age_s is None or age_s > MISSED_AFTER_S[DISPATCHER]


def subject_of(row: Any) -> Subject:
    """A stored job as a subject."""
    released = row.state == State.QUEUED and row.released_at is not None
    return Subject(
        model=row.model,
        version=row.version,
        tenant_id=row.tenant_id,
        priority=Priority(row.priority),
        rank=row.rank,
        prompt_tokens=row.prompt_tokens,
        max_tokens=row.max_tokens,
        turn=row.turn if released else None,
        floor=row.floor,
        run_at=row.run_at,
        running_since=row.started_at if row.state == State.RUNNING else None,
        held=row.held,
    )


def subject_of_new(job: NewJob, now: datetime) -> Subject:
    """A job that is not stored, ranked as `statements.SUBMIT` would."""
    times = job.times
    rank = max(now, times.run_at or now) + timedelta(seconds=CLASS_OFFSET_S[job.priority])
    if times.deadline is not None:
        rank = min(rank, times.deadline - timedelta(seconds=times.estimate_s))
    return Subject(
        job.model, job.version, job.tenant_id, job.priority, rank,
        job.prompt_tokens, job.max_tokens, run_at=times.run_at,
    )  # fmt: skip


def at(seen: Outlook, after_s: float | None) -> datetime | None:
    """A point in time from seconds after the look; None beyond ten years."""
    if after_s is None or after_s > 10 * 365 * 86_400:
        return None
    return seen.now + timedelta(seconds=after_s)
