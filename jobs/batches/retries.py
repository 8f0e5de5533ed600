"""Which lines of a batch are run again, and what they said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run

_PAGE_LINES = 500
# What the error file says of a line that was cancelled: run again only if named.
CANCELLED = "batch_cancelled"

# Codes are those of the error file, and of the jobs. A line without a custom_id of its
# own cannot be told from others, and is not run again.
_CODE = f"""
coalesce(l.error -> 'error' ->> 'code', l.error -> 'response' -> 'body' -> 'error' ->> 'code',
  CASE j.state WHEN 'expired' THEN 'batch_expired' WHEN 'cancelled' THEN '{CANCELLED}'
  ELSE j.error_code END)"""

_WANTED = f"""
FROM batch_lines l LEFT JOIN jobs j ON j.id = l.job_id
LEFT JOIN appended_lines a ON a.batch_id = l.batch_id AND a.line = l.line
WHERE l.batch_id = :batch_id AND l.line > :after AND l.custom_id IS NOT NULL
  AND CASE WHEN CAST(:codes AS text[]) IS NULL
        THEN l.error -> 'error' ->> 'code' IS DISTINCT FROM '{CANCELLED}' AND l.error IS NOT NULL
          OR j.state IN ('failed', 'expired')
        ELSE {_CODE} = ANY (CAST(:codes AS text[]))
          OR j.state <> 'succeeded' AND j.error_code = ANY (CAST(:codes AS text[])) END
"""

_PAGE = text(f"SELECT l.line, a.request {_WANTED} ORDER BY l.line LIMIT {_PAGE_LINES}")
_ANY = text(f"SELECT EXISTS (SELECT {_WANTED}) AS any")

_SOURCE = text("""
SELECT input_file_id FROM batches WHERE id = :id AND tenant_id = :tenant_id
""")


@dataclass(frozen=True, slots=True)
class AgainLine:
    """A line to be run again; `request` is None if it stands in the batch's file."""

    line: int
    request: bytes | None


def any_line(engine: Engine, batch_id: UUID, codes: Sequence[str] | None) -> bool:
    """Whether there is a line to run again. The caller knows whose batch it is."""
    return bool(run(engine, _ANY, _values(batch_id, codes, 0))[0].any)


def lines(engine: Engine, batch_id: UUID, codes: Sequence[str] | None) -> Iterator[AgainLine]:
    """All of them, in order. The caller knows whose batch it is."""
    after = 0
    while page := run(engine, _PAGE, _values(batch_id, codes, after)):
        for row in page:
            yield AgainLine(row.line, None if row.request is None else bytes(row.request))
        after = page[-1].line


def input_file(engine: Engine, tenant_id: UUID, batch_id: UUID) -> UUID | None:
    """The file that a batch was read from, if there is one."""
    rows = run(engine, _SOURCE, {"id": batch_id, "tenant_id": tenant_id})
    return rows[0].input_file_id if rows else None


def _values(batch_id: UUID, codes: Sequence[str] | None, after: int) -> dict[str, object]:
    return {
        "batch_id": batch_id,
        "codes": None if codes is None else list(codes),
        "after": after,
    }
