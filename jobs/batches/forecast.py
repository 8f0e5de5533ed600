"""When a batch would have ended if it were submitted now: `jobs.outlook` for its first
line, and all of its own work behind that, done by all slots."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs.batches.reports import Asked
from jobs.outlook.estimates import service
from jobs.outlook.facts import Subject
from jobs.outlook.look import capacity_of, look
from jobs.outlook.work import work_of
from jobs.states import CLASS_OFFSET_S, Priority

UNKNOWN = {"earliest_s": None, "expected_s": None, "latest_s": None}


def forecast(engine: Engine, tenant_id: UUID, priority: Priority, asked: Asked) -> dict[str, Any]:
    """Seconds from now until all lines for a model version would have ended, at least,
    about and at most; or why that is unknown. Others' work that comes later is not in it."""
    mean_prompt = max(1, asked.prompt_tokens // asked.lines)
    mean_most = max(1, asked.max_tokens // asked.lines)
    now = look(engine, _subject(tenant_id, priority, asked, mean_prompt, mean_most))
    if now.start is None:
        return UNKNOWN | {"unknown": now.unknown}
    capacity = capacity_of(now.model)
    own = work_of(asked.lines, asked.max_tokens, now.model.fill, now.model.learned)
    one = service(work_of(1, mean_most, now.model.fill, now.model.learned), capacity)
    # Full slots until the last line has begun, and then as long as a line takes.
    slots = max(1, min(capacity.slots, asked.lines))
    slow, speed, fast = (each * slots for each in capacity.speeds)
    all_s = now.start.latest, one.latest
    latest = None if None in all_s else sum(each or 0.0 for each in all_s) + own.most / slow
    return {
        "earliest_s": round(now.start.earliest + max(own.least / fast, one.earliest), 3),
        "expected_s": round(now.start.expected + max(own.expected / speed, one.expected), 3),
        "latest_s": None if latest is None else round(latest, 3),
        "unknown": None,
    }


def _subject(
    tenant_id: UUID, priority: Priority, asked: Asked, prompt_tokens: int, max_tokens: int
) -> Subject:
    return Subject(
        model=asked.model,
        version=asked.version,
        tenant_id=tenant_id,
        priority=priority,
        rank=datetime.now(UTC) + timedelta(seconds=CLASS_OFFSET_S[priority]),
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
    )
