"""The lines of a batch with what became of them, in order and in bounded pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, TextClause, text

from jobs.batches.envelopes import Fault
from jobs.database import run
from jobs.job_views import COLUMNS, JobView

_MOST_LINES, _MOST_BYTES = 500, 4_000_000


class Which(StrEnum):
    """Which lines are meant."""

    SUCCEEDED = "succeeded"
    OTHERS = "others"  # refused, or ended in another way
    ENDED = "ended"  # both, up to the first that is still open


_WANTED = {
    Which.SUCCEEDED: "j.state = 'succeeded'",
    Which.OTHERS: "(l.job_id IS NULL OR j.state IN ('failed', 'cancelled', 'expired'))",
    Which.ENDED: "true",
}


# The sizes of results are told by Postgres without reading them; those of `details`,
# which are compressed, are guessed.
def _page(wanted: str) -> TextClause:
    return text(f"""
WITH page AS MATERIALIZED (
  SELECT l.line, l.custom_id, l.error, l.job_id, l.same_as FROM batch_lines l
  LEFT JOIN jobs j ON j.id = l.job_id
  WHERE l.batch_id = :batch_id AND l.line > :after AND {wanted}
  ORDER BY l.line LIMIT :most_lines
), sized AS MATERIALIZED (
  SELECT page.*, row_number() OVER (ORDER BY line) AS number,
    sum(coalesce(octet_length(r.text), 0) + 8 * coalesce(pg_column_size(r.details), 0)
        + 4 * coalesce(pg_column_size(page.error), 0)
        + CASE WHEN i.asked -> 'echo' IS NULL THEN 0 ELSE 4 * pg_column_size(i.input) END)
      OVER (ORDER BY line) AS bytes
  FROM page LEFT JOIN job_results r ON r.job_id = page.job_id
  LEFT JOIN job_inputs i ON i.job_id = page.job_id
)
{COLUMNS}, r.text, r.error_message, r.details, j.erased_at, i.asked,
  CASE WHEN (i.asked ->> 'echo')::bool
       THEN coalesce(i.input ->> 'prompt', i.asked ->> 'prompt') END AS echoed,
  s.line, s.custom_id, s.error, s.same_as
FROM sized s LEFT JOIN jobs j ON j.id = s.job_id LEFT JOIN job_inputs i ON i.job_id = j.id
LEFT JOIN job_results r ON r.job_id = j.id
WHERE s.bytes <= :most_bytes OR s.number = 1 ORDER BY s.line
""")  # noqa: S608 - only constants are joined


_PAGES = {which: _page(wanted) for which, wanted in _WANTED.items()}


@dataclass(frozen=True, slots=True)
class OutputRow:
    """A line and its job, or what it was refused for. `asked` and `echoed` are what
    its answer repeats of the request."""

    line: int
    custom_id: str | None
    fault: Fault | None
    view: JobView | None
    asked: dict[str, Any] | None
    echoed: str | None
    # The earlier line whose job this one shares.
    same_as: int | None = None


def rows(
    engine: Engine, batch_id: UUID, which: Which, *, after: int = 0, most_lines: int = _MOST_LINES
) -> Iterator[list[OutputRow]]:
    """Pages of the lines behind line `after`; what they hold is bounded in bytes, or
    is one line. The caller knows whose batch it is."""
    values = {"batch_id": batch_id, "most_lines": most_lines, "most_bytes": _MOST_BYTES}
    while page := run(engine, _PAGES[which], values | {"after": after}):
        found = [_row(row) for row in page]
        ended = _until_open(found) if which is Which.ENDED else found
        if ended:
            yield ended
        if len(ended) < len(found):
            return
        after = found[-1].line


def _row(row: Any) -> OutputRow:
    *job, asked, echoed, line, custom_id, fault, same_as = row
    view = JobView(*job) if job[0] is not None else None
    return OutputRow(line, custom_id, fault, view, asked, echoed, same_as)


def _until_open(found: list[OutputRow]) -> list[OutputRow]:
    for number, row in enumerate(found):
        if row.view is not None and not row.view.is_terminal:
            return found[:number]
    return found
