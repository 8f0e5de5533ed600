"""Lines that come in no file, for a batch that is open; used by the Task Manager alone."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection, text

from jobs.batch_errors import BatchClosed, TooManyLines
from jobs.batches import line_jobs, line_statements
from jobs.batches.envelopes import TakenLine
from jobs.batches.limits import MOST_LINES

_LOCK = text("""
SELECT id, lines, intake_line, status, open AND status IN ('validating', 'in_progress')
    AND expires_at > clock_timestamp() AS open,
  input_file_id IS NULL OR intake_ended_at IS NOT NULL AS read,
  ARRAY(SELECT l.custom_id FROM batch_lines l WHERE l.batch_id = b.id
        AND l.custom_id = ANY (CAST(:custom_ids AS text[]))) AS known
FROM batches b WHERE id = :id AND tenant_id = :tenant_id FOR UPDATE
""")


def append(
    connection: Connection,
    tenant_id: UUID,
    batch_id: UUID,
    lines: Sequence[TakenLine],
    requests: Sequence[bytes],
) -> int:
    """See `TaskManager.append_lines`."""
    ids = [line.custom_id for line in lines]
    values = {"id": batch_id, "tenant_id": tenant_id, "custom_ids": ids}
    # Twice: what stands beside the lock may have been read before it was granted.
    connection.execute(_LOCK, values)
    row = connection.execute(_LOCK, values).one()
    if not row.open:
        raise BatchClosed("the batch takes no more lines: it is closed, or over")
    if not row.read:
        raise BatchClosed("the batch's file is still being read; append once it is in_progress "
                          "with all of its lines counted")  # fmt: skip
    known = set(row.known)
    new = [index for index, id in enumerate(ids) if id not in known]
    if row.lines + len(new) > MOST_LINES:
        raise TooManyLines(f"a batch has {MOST_LINES:,} lines at most; make another one")
    if not new:
        return 0
    numbers = {lines[index].line: row.intake_line + at for at, index in enumerate(new, 1)}
    added = [_numbered(lines[index], numbers) for index in new]
    connection.execute(
        line_statements.APPEND_LINES,
        {
            "id": batch_id,
            "added": len(added),
            "end_line": row.intake_line + len(added),
            "requests": [requests[index] for index in new],
            **line_jobs.columns(added),
        },
    )
    return len(added)


def _numbered(line: TakenLine, numbers: dict[int, int]) -> TakenLine:
    return replace(line, line=numbers[line.line])
