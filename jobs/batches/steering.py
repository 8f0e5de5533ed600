"""What a batch's owner does to it while it runs: pause, resume, another class, close.

A verb changes the batch's row at once. Its waiting lines, which may be fifty
thousand, follow in bounded pieces (`TaskManager.settle_lines`).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.states import Priority

_STEERABLE = "status IN ('validating', 'in_progress') AND NOT dry_run"


def _verb(change: str, only: str = "true") -> Any:
    return text(f"""
UPDATE batches SET {change}
WHERE id = :id AND tenant_id = :tenant_id AND {_STEERABLE} AND {only} RETURNING id
""")  # noqa: S608 - only constants are joined


_PAUSE = _verb("paused = :paused, unsettled = true")
_PRIORITIZE = _verb("priority = :priority, unsettled = true")
_CLOSE = _verb("open = false", only="open")

_LINE = text("""
SELECT l.line, l.job_id,
  EXISTS (SELECT FROM batch_lines o WHERE o.job_id = l.job_id
          AND (o.batch_id, o.line) <> (l.batch_id, l.line)) AS shared
FROM batch_lines l JOIN batches b ON b.id = l.batch_id
WHERE b.id = :id AND b.tenant_id = :tenant_id
  AND (l.custom_id = :custom_id OR l.line = :line)
""")


def pause(engine: Engine, tenant_id: UUID, batch_id: UUID, *, paused: bool) -> bool:
    """Holds the lines that wait, or lets them go; False if there are none any more."""
    return _told(engine, _PAUSE, tenant_id, batch_id, paused=paused)


def prioritize(engine: Engine, tenant_id: UUID, batch_id: UUID, priority: Priority) -> bool:
    """Moves the lines that wait, and those to come, to a class; False as above."""
    return _told(engine, _PRIORITIZE, tenant_id, batch_id, priority=priority.value)


def close(engine: Engine, tenant_id: UUID, batch_id: UUID) -> bool:
    """No more lines can be appended; False if none could before."""
    return _told(engine, _CLOSE, tenant_id, batch_id)


def _told(engine: Engine, verb: Any, tenant_id: UUID, batch_id: UUID, **values: object) -> bool:
    return bool(run(engine, verb, {"id": batch_id, "tenant_id": tenant_id, **values}))


def find_line(
    engine: Engine, tenant_id: UUID, batch_id: UUID, *, custom_id: str | None, line: int | None
) -> Sequence[Any]:
    """A line's number, its job (None if it was refused), and whether it shares that
    with others; by its custom_id or its number. Nothing if there is none."""
    values = {"id": batch_id, "tenant_id": tenant_id, "custom_id": custom_id, "line": line}
    return run(engine, _LINE, values)
