"""May a tenant have this much more? Asked before anything is submitted.

Exact over all processes for what passes within a minute. For what waits the last count
and what was admitted since are known, so it may be refused up to a second after there is
room, and passes wrongly only by what was in flight at the moment of the count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs.database import run
from jobs.quotas import windows
from jobs.quotas.limits import Limits
from jobs.quotas.statements import ADMIT
from jobs.tenant_errors import QuotaExceeded, RateLimitExceeded

# Queued work is counted again every second.
_COUNTED_AGAIN_S = 1
# OpenAI's older clients do not read what is longer, and come again at once. Asked then,
# the last slot of the window may cost a second more.
_LONGEST_WAIT_S = 60
# When something can never pass, or nobody knows when it will.
LATER_S = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks for."""

    jobs: int
    tokens: int
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Rate:
    """How a limit per minute stands after a request."""

    limit: int
    remaining: int
    reset_s: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a tenant stands after it asked; None for what has no limit. `refusal` says
    why it got nothing."""

    requests: Rate | None = None
    tokens: Rate | None = None
    refusal: RateLimitExceeded | None = None


def admit(engine: Engine, tenant_id: UUID, asked: Asked) -> Standing:
    """Takes what is asked for from what the tenant may still have, or nothing."""
    values = {
        "tenant_id": tenant_id,
        "requests": asked.requests,
        "rated_tokens": asked.tokens,
        "jobs": asked.jobs,
        "tokens": asked.tokens,
        "jobs_at_once": asked.jobs,
        "tokens_at_once": asked.tokens,
    }
    rows = run(engine, ADMIT, values)
    if not rows:
        return Standing()
    [row] = rows
    took = row.exceeded is None
    return Standing(
        _rate(row.requests_per_minute, row.requests, asked.requests if took else 0),
        _rate(row.tokens_per_minute, row.tokens, asked.tokens if took else 0),
        None if took else _refusal(row, asked),
    )


def admit_lines(
    engine: Engine, tenant_id: UUID, jobs: int, tokens: int
) -> RateLimitExceeded | None:
    """Takes a chunk of a batch's lines, or nothing and says why: then they are to be read
    again later. A batch is no rate, and its chunk passes as soon as there is room for a
    job, so that no limit is too small for one: what is too much is this chunk."""
    if not jobs:
        return None
    values = {
        "tenant_id": tenant_id,
        "requests": 0,
        "rated_tokens": 0,
        "jobs": jobs,
        "tokens": tokens,
        "jobs_at_once": 1,
        "tokens_at_once": 1,
    }
    for row in run(engine, ADMIT, values):
        return None if row.exceeded is None else _refusal(row, Asked(1, 1))
    return None


def _rate(limit: int | None, slots: Sequence[int], taken: int) -> Rate | None:
    if limit is None:
        return None
    now = [slots[0] + taken, *slots[1:]]
    return Rate(limit, max(0, limit - sum(now)), windows.empty_s(now))


def _refusal(row: Any, asked: Asked) -> RateLimitExceeded:
    limits = Limits(*row[:5])
    name: str = row.exceeded
    limit: int = getattr(limits, name)
    if name == "requests_per_minute":
        return _rate_refusal(name, limit, row.requests, asked.requests)
    if name == "tokens_per_minute":
        return _rate_refusal(name, limit, row.tokens, asked.tokens)
    waiting, wanted = (
        (row.waiting_jobs, asked.jobs) if name == "queued_jobs"
        else (row.waiting_tokens, asked.tokens)
    )  # fmt: skip
    again = wanted <= limit
    return QuotaExceeded(
        f"{waiting:,} of the tenant's {limit:,} {name} are in use, and this asks for {wanted:,}; "
        + ("try again when some of them have run" if again else "ask for less at once"),
        limit=name,
        retry_after_s=_COUNTED_AGAIN_S if again else LATER_S,
        again=again,
    )


def _rate_refusal(name: str, limit: int, slots: Sequence[int], wanted: int) -> RateLimitExceeded:
    wait_s = windows.wait_s(slots, limit, wanted)
    said = f"{sum(slots):,} of the tenant's {limit:,} {name} are used, and this asks for {wanted:,}"
    more = "ask for less at once" if wait_s is None else "try again after Retry-After seconds"
    return RateLimitExceeded(
        f"{said}; {more}",
        limit=name,
        retry_after_s=LATER_S if wait_s is None else min(max(1, wait_s), _LONGEST_WAIT_S),
        again=wait_s is not None,
    )
