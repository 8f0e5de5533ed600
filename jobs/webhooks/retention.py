"""The end of deliveries: what could not be told in its day, and what was told a week ago."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from jobs.database import run

_AT_ONCE = 10_000

# A day after it was made; that of a receiver that is disabled or gone as well.
_GIVE_UP = text("""
WITH late AS MATERIALIZED (
  SELECT id FROM webhook_deliveries WHERE state = 'pending'
    AND give_up_at <= (SELECT clock_timestamp())
    AND (lease IS NULL OR next_at <= clock_timestamp())
  ORDER BY id LIMIT :at_once FOR UPDATE SKIP LOCKED
), ended AS (
  UPDATE webhook_deliveries d SET state = 'failed', lease = NULL, ended_at = clock_timestamp()
  FROM late WHERE d.id = late.id RETURNING d.id
), counted AS (
  INSERT INTO counters AS c (name, model, version, value)
  SELECT 'webhooks_given_up', '', 0, count(*) FROM ended HAVING count(*) > 0
  ON CONFLICT (name, model, version) DO UPDATE SET value = c.value + excluded.value
)
SELECT id FROM ended
""")

_FORGET = text("""
DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
  SELECT id FROM webhook_deliveries
  WHERE ended_at < (SELECT clock_timestamp()) - interval '7 days' LIMIT :at_once))
RETURNING id
""")

_COUNT = text("""
SELECT (SELECT count(*) FROM webhook_deliveries WHERE state = 'pending') AS pending,
       (SELECT count(*) FROM webhook_endpoints WHERE disabled_at IS NOT NULL) AS disabled
""")


def give_up(engine: Engine) -> int:
    """Ends what could not be told within its day; returns how many, a bounded number."""
    return len(run(engine, _GIVE_UP, {"at_once": _AT_ONCE}))


def forget(engine: Engine) -> int:
    """Drops what ended a week ago, with its attempts; returns how many, a bounded number."""
    return len(run(engine, _FORGET, {"at_once": _AT_ONCE}))


@dataclass(frozen=True, slots=True)
class Counts:
    """Deliveries that wait, and endpoints that are disabled, of all tenants."""

    pending: int
    disabled: int


def counts(engine: Engine) -> Counts:
    """Both now."""
    return Counts(*run(engine, _COUNT, {})[0])
