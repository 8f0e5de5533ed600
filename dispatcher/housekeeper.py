"""`python -m dispatcher.housekeeper`: what is neither next nor now.

Once a minute: compares predictions with what came, folds totals for /metrics,
forgets idempotency keys after a day (the promise of the header) and workers
that ended a week ago. Safe in several processes at once.
"""

import logging
import signal
import sys
import threading

from sqlalchemy import Engine, text

from jobs import counters, logs
from jobs.database import open_engine, run
from jobs.errors import BadSettings, DatabaseUnavailable
from jobs.outlook import components, predictions
from jobs.settings import load

_EVERY_S = 60.0

_FORGET_KEYS = text("""
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys
  WHERE created_at < clock_timestamp() - interval '24 hours' LIMIT 10000))
RETURNING 1
""")

log = logging.getLogger(__name__)


def keep_house(engine: Engine) -> int:
    """One round; returns how many rows were forgotten."""
    components.seen(engine, components.HOUSEKEEPER)
    predictions.fold(engine)
    counters.fold(engine)
    forgotten = counters.forget_workers(engine) + predictions.forget(engine)
    while keys := len(run(engine, _FORGET_KEYS, {})):
        forgotten += keys
    if forgotten:
        log.info("forgot %d old idempotency keys, workers and predictions", forgotten)
    return forgotten


def main() -> None:
    """Runs until SIGTERM; a missing Postgres is waited for."""
    try:
        settings = load()
    except BadSettings as error:
        sys.exit(f"housekeeper does not start: {error.message}")
    logs.configure(settings, "housekeeper")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    engine = open_engine(settings, application="lmaas-housekeeper", connections=1)
    log.info("housekeeper is ready")
    while not stopping.is_set():
        try:
            keep_house(engine)
        except DatabaseUnavailable as error:
            log.warning("%s", error.message)
        stopping.wait(_EVERY_S)
    engine.dispose()


if __name__ == "__main__":
    main()
