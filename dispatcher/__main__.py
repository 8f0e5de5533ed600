"""`python -m dispatcher`: ticks at every hint and every second; reaps dead leases."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable

from bells.celery_app import Bell
from bells.hints import DispatcherEar, Hints
from dispatcher.bell_ringer import BellRinger
from dispatcher.cluster_manager import ClusterManager
from dispatcher.job_dispatcher import JobDispatcher
from dispatcher.observer import Observer
from dispatcher.reaper import reap
from jobs import failpoints, logs
from jobs.database import open_engine
from jobs.errors import BadSettings, DatabaseUnavailable
from jobs.outlook.components import DISPATCHER, EVERY_S
from jobs.settings import Settings, load
from jobs.task_manager import TaskManager
from jobs.threads import end_process_with_any_thread

# Hints that arrive closer together than this share one tick.
_BREATH_S = 0.004
_REAP_EVERY_S = 0.5
_LONGEST_WAIT_S = 1.0  # also for SIGTERM to be seen

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until SIGTERM; a missing Postgres or Redis is waited for."""
    try:
        settings = load()
    except BadSettings as error:
        sys.exit(f"dispatcher does not start: {error.message}")
    logs.configure(settings, "dispatcher")
    failpoints.arm(settings.failpoints)
    end_process_with_any_thread()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    work(settings, stopping)


def work(settings: Settings, stopping: threading.Event) -> None:
    """The dispatcher's loops: reaping and observing in threads, ticking in this one."""
    engine = open_engine(
        settings, application="lmaas-dispatcher", connections=1, durable=False, plan_once=True
    )
    # The reaper can end a job for good, which no crash of Postgres may forget.
    durable = open_engine(settings, application="lmaas-reaper", connections=1)
    ringer = BellRinger(Bell(settings))
    ringer.start()
    dispatcher = JobDispatcher(TaskManager(engine), ClusterManager(engine), ringer)
    reaper = threading.Thread(
        target=lambda: _until(stopping, _REAP_EVERY_S, lambda: reap(durable, TaskManager(durable))),
        name="reaper",
        daemon=True,
    )
    reaper.start()
    watching = open_engine(settings, application="lmaas-observer", connections=1, durable=False)
    observer = Observer(watching, Hints(settings))
    threading.Thread(
        target=lambda: _until(stopping, EVERY_S[DISPATCHER], observer.look),
        name="observer",
        daemon=True,
    ).start()
    ear = DispatcherEar(settings, min(settings.tick_s, _LONGEST_WAIT_S))
    log.info("dispatcher is ready")
    while not stopping.is_set():
        _patiently(dispatcher.tick, stopping)
        time.sleep(_BREATH_S + dispatcher.rest_s)
        ear.wait(stopping)
    reaper.join(timeout=5)
    ringer.stop()
    engine.dispose()
    durable.dispose()
    watching.dispose()
    log.info("dispatcher stopped")


def _until(stopping: threading.Event, every_s: float, act: Callable[[], object]) -> None:
    while not stopping.wait(every_s):
        _patiently(act, stopping)


def _patiently(act: Callable[[], object], stopping: threading.Event) -> None:
    """Acts; while Postgres is away, waits a second instead."""
    try:
        act()
    except DatabaseUnavailable as error:
        log.warning("%s", error.message)
        stopping.wait(1.0)


if __name__ == "__main__":
    main()
