"""What the housekeeper does once a minute: compares, folds, forgets."""

import logging

from sqlalchemy import Engine, text

from jobs import counters
from jobs.database import run
from jobs.outlook import components, predictions

_FORGET_KEYS = text("""
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys
  WHERE created_at < clock_timestamp() - interval '24 hours' LIMIT 10000))
RETURNING 1
""")

log = logging.getLogger(__name__)


def keep_house(engine: Engine) -> int:
    """Compares predictions with what came, folds totals for /metrics, forgets
    idempotency keys after a day (the promise of the header) and workers that
    ended a week ago. Returns how many rows were forgotten."""
    components.seen(engine, components.HOUSEKEEPER)
    predictions.fold(engine)
    counters.fold(engine)
    forgotten = counters.forget_workers(engine) + predictions.forget(engine)
    while keys := len(run(engine, _FORGET_KEYS, {})):
        forgotten += keys
    if forgotten:
        log.info("forgot %d old idempotency keys, workers and predictions", forgotten)
    return forgotten
