"""Totals that never shrink, for /metrics, without counting the ledger.

Notable events have a partial index of their own. The housekeeper folds those
that are old enough into `counters`, and a scrape adds the few that came since.
Rows of workers are folded when they are forgotten.
"""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.notable_events import NOTABLE

# (name, model, version) -> total
Totals = Mapping[tuple[str, str, int], int]

_MARK = "events_folded_to"
# An event may become visible after one with a higher id: as late as its
# statement and its transaction may last (`jobs.database.open_engine`).
_SETTLED = "interval '2 minutes'"
_AT_ONCE = 20_000
# So many events beyond the mark are counted in one scrape; the rest later.
_MOST_FRESH = 50_000

_NAMED = """
  SELECT e.id, j.model, j.version, n.name
  FROM fresh e JOIN jobs j ON j.id = e.job_id CROSS JOIN LATERAL (VALUES
    (CASE e.kind WHEN 'cancelled' THEN 'cancelled' WHEN 'expired' THEN 'expired'
                 WHEN 'failed' THEN 'failed' END),
    (CASE WHEN e.kind = 'failed' AND e.reason = 'worker_died_alone' THEN 'dead_letters' END),
    (CASE WHEN e.reason IN ('worker_died_alone', 'worker_died_with_others', 'lease_lost')
          THEN 'reclaimed' END),
    (CASE WHEN e.reason = 'worker_died_alone' THEN 'crashes_charged' END)) n(name)
  WHERE n.name IS NOT NULL
"""

_FOLD_EVENTS = text(f"""
WITH made AS (
  INSERT INTO counters (name, model, version) VALUES ('{_MARK}', '', 0) ON CONFLICT DO NOTHING
), mark AS MATERIALIZED (
  SELECT value FROM counters WHERE name = '{_MARK}' FOR UPDATE
), settled AS MATERIALIZED (
  SELECT id FROM job_events
  WHERE ({NOTABLE}) AND id > (SELECT value FROM mark) AND at < clock_timestamp() - {_SETTLED}
  ORDER BY id DESC LIMIT 1
), fresh AS MATERIALIZED (
  SELECT id, job_id, kind, reason FROM job_events
  WHERE ({NOTABLE}) AND id > (SELECT value FROM mark) AND id <= (SELECT id FROM settled)
  ORDER BY id LIMIT :at_once
), named AS ({_NAMED}), added AS (
  INSERT INTO counters AS c (name, model, version, value)
  SELECT name, model, version, count(*) FROM named GROUP BY name, model, version
  ON CONFLICT (name, model, version) DO UPDATE SET value = c.value + excluded.value
), moved AS (
  UPDATE counters SET value = (SELECT max(id) FROM fresh)
  WHERE name = '{_MARK}' AND EXISTS (SELECT FROM fresh)
)
SELECT count(*) AS folded FROM fresh
""")  # noqa: S608 - only constants are joined

_FRESH = text(f"""
WITH fresh AS MATERIALIZED (
  SELECT id, job_id, kind, reason FROM job_events
  WHERE ({NOTABLE}) AND id > coalesce((SELECT value FROM counters WHERE name = '{_MARK}'), 0)
  ORDER BY id LIMIT :most
), named AS ({_NAMED})
SELECT name, model, version, value FROM counters WHERE name <> '{_MARK}'
UNION ALL
SELECT name, model, version, count(*) FROM named GROUP BY name, model, version
UNION ALL
SELECT 'stale_writes', model, version, sum(stale_writes)::int8 FROM workers GROUP BY model, version
UNION ALL
SELECT 'worker_deaths', model, version, count(*) FROM workers WHERE died GROUP BY model, version
""")  # noqa: S608 - only constants are joined

# What a row said goes into the totals with the statement that deletes it.
_FORGET_WORKERS = text("""
WITH gone AS (
  DELETE FROM workers w WHERE w.ended_at < clock_timestamp() - interval '7 days'
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.worker_id = w.id AND j.state = 'running')
  RETURNING w.model, w.version, w.stale_writes, w.died
), said AS (
  SELECT 'stale_writes' AS name, model, version, sum(stale_writes)::int8 AS value
  FROM gone GROUP BY model, version
  UNION ALL
  SELECT 'worker_deaths', model, version, count(*) FILTER (WHERE died) FROM gone
  GROUP BY model, version
), added AS (
  INSERT INTO counters AS c (name, model, version, value)
  SELECT name, model, version, value FROM said WHERE value > 0
  ON CONFLICT (name, model, version) DO UPDATE SET value = c.value + excluded.value
)
SELECT 1 FROM gone
""")


def fold(engine: Engine) -> int:
    """Adds settled events to the totals; returns how many. Safe in several
    processes at once."""
    folded = 0
    while found := run(engine, _FOLD_EVENTS, {"at_once": _AT_ONCE})[0].folded:
        folded += found
    return folded


def forget_workers(engine: Engine) -> int:
    """Drops workers that ended a week ago and keeps their numbers."""
    return len(run(engine, _FORGET_WORKERS, {}))


def read(engine: Engine) -> Totals:
    """All totals now."""
    totals: Counter[tuple[str, str, int]] = Counter()
    for row in run(engine, _FRESH, {"most": _MOST_FRESH}):
        totals[row.name, row.model, row.version] += row.value
    return totals
