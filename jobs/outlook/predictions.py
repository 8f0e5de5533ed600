"""What was foretold of jobs, compared with what came: the estimate's error.

A prediction waits until its job has ended, is compared once, and is folded into
the totals that /metrics shows; so the table stays as small as the queue's
explained part, and the totals never shrink.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.outlook.facts import Outlook, at

# Upper bounds of the histogram, in seconds; the last one stands for all above.
BOUNDS_S = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 1e9)
_AT_ONCE = 2_000

_RECORD = text("""
INSERT INTO predictions (job_id, source, start_earliest, start_expected, start_latest,
                         finish_earliest, finish_expected, finish_latest)
SELECT :job_id, :source, CAST(:start_earliest AS timestamptz),
  CAST(:start_expected AS timestamptz), CAST(:start_latest AS timestamptz),
  CAST(:finish_earliest AS timestamptz), CAST(:finish_expected AS timestamptz),
  CAST(:finish_latest AS timestamptz)
WHERE EXISTS (SELECT FROM jobs WHERE id = :job_id AND state = 'queued')
ON CONFLICT DO NOTHING RETURNING job_id
""")

# Only first attempts are compared: no estimate knows of crashes, cancels and
# errors to come. The others' predictions are forgotten uncounted.
_FOLD = text("""
WITH told AS (
  DELETE FROM predictions p USING jobs j
  WHERE j.id = p.job_id AND j.state IN ('succeeded', 'failed', 'cancelled', 'expired')
    AND (p.job_id, p.source) IN (
      SELECT q.job_id, q.source FROM predictions q JOIN jobs k ON k.id = q.job_id
      WHERE k.state IN ('succeeded', 'failed', 'cancelled', 'expired') LIMIT :at_once)
  RETURNING p.*, j.model, j.version, j.state, j.attempt, j.started_at, j.finished_at
), compared AS (
  SELECT model, version, 'start' AS kind, started_at AS came, start_expected AS expected,
         start_earliest AS earliest, start_latest AS latest
  FROM told WHERE attempt = 1 AND started_at IS NOT NULL
  UNION ALL
  SELECT model, version, 'finish', finished_at, finish_expected, finish_earliest, finish_latest
  FROM told WHERE attempt = 1 AND state = 'succeeded'
), errors AS (
  SELECT model, version, kind,
    abs(extract(epoch FROM came - expected))::float8 AS error_s,
    came BETWEEN earliest AND coalesce(latest, 'infinity') AS inside
  FROM compared
), added AS (
  INSERT INTO estimate_errors AS e (model, version, kind, within_s, count, inside, error_s)
  SELECT model, version, kind,
    (SELECT min(bound) FROM unnest(CAST(:bounds AS float8[])) bound
     WHERE bound >= least(error_s, 1e9)),
    count(*), count(*) FILTER (WHERE inside), sum(error_s)
  FROM errors GROUP BY 1, 2, 3, 4
  ON CONFLICT (model, version, kind, within_s) DO UPDATE SET count = e.count + excluded.count,
    inside = e.inside + excluded.inside, error_s = e.error_s + excluded.error_s
)
SELECT job_id FROM told
""")

_FORGET = text("""
DELETE FROM predictions WHERE made_at < clock_timestamp() - interval '7 days' RETURNING 1
""")

_READ = text("""
SELECT model, version, kind, within_s, count, inside, error_s FROM estimate_errors
ORDER BY model, version, kind, within_s
""")


@dataclass(frozen=True, slots=True)
class Errors:
    """Predictions of one `kind` (start, finish) whose error was within a bound."""

    model: str
    version: int
    kind: str
    within_s: float
    count: int
    inside: int
    error_s: float


def record(engine: Engine, job_id: UUID, source: str, seen: Outlook) -> bool:
    """Keeps a prediction of a waiting job. False if there is nothing to keep: it
    is not known, the job waits no more, or this source has spoken already."""
    values: dict[str, object] = {"job_id": job_id, "source": source}
    if seen.start is None or seen.finish is None:
        return False
    for name, interval in (("start", seen.start), ("finish", seen.finish)):
        values[f"{name}_earliest"] = at(seen, interval.earliest)
        values[f"{name}_expected"] = at(seen, interval.expected)
        values[f"{name}_latest"] = at(seen, interval.latest)
    if values["finish_expected"] is None:
        return False
    return bool(run(engine, _RECORD, values))


def fold(engine: Engine) -> int:
    """Compares predictions of jobs that have ended; returns how many."""
    folded = 0
    values = {"at_once": _AT_ONCE, "bounds": list(BOUNDS_S)}
    while found := len(run(engine, _FOLD, values)):
        folded += found
    return folded


def forget(engine: Engine) -> int:
    """Drops predictions of jobs that still wait after a week."""
    return len(run(engine, _FORGET, {}))


def errors(engine: Engine) -> list[Errors]:
    """All totals."""
    return [Errors(*row) for row in run(engine, _READ, {})]
