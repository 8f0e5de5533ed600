"""`python -m workers.child`: one worker process.

Started by `python -m workers`, which starts it again when it dies; it dies
with its parent, so that no device is ever held by a worker nobody watches.
"""

import ctypes
import logging
import os
import signal
import sys

from sqlalchemy import Connection

from jobs import failpoints, logs
from jobs.database import open_engine, transact
from jobs.errors import BadSettings, LmaasError, ModelCorrupt
from jobs.settings import Settings, load
from models_store import catalog
from models_store.catalog import ModelVersion
from workers import exit_codes
from workers.worker import Worker

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

log = logging.getLogger(__name__)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            sys.exit(0)


def _resolve(settings: Settings) -> ModelVersion:
    engine = open_engine(settings, application="lmaas-worker-start", connections=1)
    try:

        def work(connection: Connection) -> ModelVersion:
            return catalog.resolve(connection, settings.model)

        return transact(engine, work)
    finally:
        engine.dispose()


def main() -> None:
    """Runs one worker; exit code 78 says that starting it again is of no use."""
    _die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # until Celery takes over
    try:
        settings = load()
    except BadSettings as error:
        print(f"worker does not start: {error.message}", file=sys.stderr)  # noqa: T201
        sys.exit(exit_codes.CONFIG)
    logs.configure(settings, f"worker:{settings.model}")
    failpoints.arm(settings.failpoints)
    try:
        Worker(settings, _resolve(settings)).run()
    except ModelCorrupt as error:
        log.critical("worker does not start: %s", error.message)
        sys.exit(exit_codes.CORRUPT)
    except LmaasError as error:
        log.critical("worker does not start: %s", error.message)
        sys.exit(1 if error.retryable else exit_codes.CONFIG)
    os._exit(0)


if __name__ == "__main__":
    main()
