"""Which chores of the housekeeper fail, for operators to see where they look first.

Several housekeepers share one record: it says what the last of them met.
"""

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.outlook.components import HOUSEKEEPER

_FAILED = text("""
INSERT INTO components AS c (name, failing)
VALUES (:part, jsonb_build_object(CAST(:chore AS text), jsonb_build_object(
  'times', CAST(:times AS int), 'error', CAST(:error AS text), 'since', clock_timestamp())))
ON CONFLICT (name) DO UPDATE SET failing = c.failing || jsonb_build_object(
  CAST(:chore AS text), (excluded.failing -> CAST(:chore AS text)) || jsonb_build_object(
    'since', coalesce(c.failing -> CAST(:chore AS text) -> 'since',
                      excluded.failing -> CAST(:chore AS text) -> 'since')))
RETURNING name
""")

_WORKS = text("""
UPDATE components SET failing = failing - CAST(:chore AS text)
WHERE name = :part AND failing -> CAST(:chore AS text) IS NOT NULL RETURNING name
""")


def record(engine: Engine, chore: str, times: int, error: str | None) -> None:
    """Says that a chore failed so many times in a row, and with which kind of error; 0: it
    works. Raises `DatabaseUnavailable`."""
    values = {"part": HOUSEKEEPER, "chore": chore}
    if times:
        run(engine, _FAILED, values | {"times": times, "error": error})
    else:
        run(engine, _WORKS, values)
