"""The lines of batches in the order in which they ended, for those who watch.

A place is the transaction and the line of what was told last. Told is only what lies
before every transaction that is still open, so nothing can appear behind a place
later; of a batch that is over, everything.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.batches.states import BATCH_TERMINAL
from jobs.database import run

MOST_TOLD = 1_000

_ENDED = text("""
SELECT w.number, e.txid, e.line, l.custom_id, coalesce(j.state, 'refused') AS state
FROM unnest(CAST(:numbers AS int[]), CAST(:ids AS uuid[]), CAST(:txids AS int8[]),
            CAST(:lines AS int[]), CAST(:all AS bool[])) w(number, id, txid, line, everything)
CROSS JOIN LATERAL (
  SELECT txid, line FROM batch_endings
  WHERE batch_id = w.id AND (txid, line) > (w.txid, w.line)
    AND (w.everything OR txid < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS int8))
  ORDER BY txid, line LIMIT :most) e
JOIN batch_lines l ON l.batch_id = w.id AND l.line = e.line
LEFT JOIN jobs j ON j.id = l.job_id
ORDER BY w.number, e.txid, e.line
""")

_STATES = text("SELECT id, status, paused FROM batches WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What was told last of a batch."""

    txid: int = 0
    line: int = 0

    def __str__(self) -> str:
        return f"{self.txid}.{self.line}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The place that `str` made. Raises `ValueError`."""
        txid, line = text.split(".")
        if not (txid + line).isdecimal() or len(txid) > 18 or len(line) > 9:
            raise ValueError(text)
        return cls(int(txid), int(line))


@dataclass(frozen=True, slots=True)
class Ending:
    """A line that ended, and how: a job's state, or `refused`."""

    place: Place
    custom_id: str | None
    state: str


Reader = tuple[UUID, Place]


def read(
    engine: Engine, readers: Collection[Reader], over: Collection[UUID]
) -> Mapping[Reader, Sequence[Ending]]:
    """What comes after each place, at most `MOST_TOLD` of each; `over` are the
    batches that have ended. The caller knows whose batches they are."""
    asked = list(readers)
    rows = run(
        engine,
        _ENDED,
        {
            "numbers": list(range(len(asked))),
            "ids": [id for id, _ in asked],
            "txids": [place.txid for _, place in asked],
            "lines": [place.line for _, place in asked],
            "all": [id in over for id, _ in asked],
            "most": MOST_TOLD,
        },
    )
    found: dict[Reader, list[Ending]] = defaultdict(list)
    for row in rows:
        ending = Ending(Place(row.txid, row.line), row.custom_id, row.state)
        found[asked[row.number]].append(ending)
    return found


def ended_among(engine: Engine, ids: Collection[UUID]) -> set[UUID]:
    """Those of the batches that are over."""
    rows = run(engine, _STATES, {"ids": list(ids)})
    return {row.id for row in rows if row.status in BATCH_TERMINAL}
