"""`python -m dispatcher.housekeeper`: what is neither next nor now.

Several of these processes may run at once.
"""

import logging
import signal
import sys
import threading

from sqlalchemy import Engine

from dispatcher import chores
from dispatcher.chores import Chore
from dispatcher.forgetting import keep_house
from dispatcher.upkeep import erase_results, keep_files
from files_store.contents import open_contents
from jobs import failpoints, logs
from jobs.database import open_engine
from jobs.errors import BadSettings
from jobs.settings import Settings, load
from jobs.task_manager import TaskManager
from jobs.threads import end_process_with_any_thread

log = logging.getLogger(__name__)


def all_chores(engine: Engine, settings: Settings) -> list[Chore]:
    """What this process does; each line is one kind of work."""
    contents, manager = open_contents(settings), TaskManager(engine)
    return [
        Chore("forgetting", 60.0, lambda _: keep_house(engine)),
        Chore("files", 30.0, lambda _: keep_files(engine, contents)),
        Chore("retention", 60.0, lambda _: erase_results(manager)),
    ]


def main() -> None:
    """Runs until SIGTERM; a missing Postgres is waited for."""
    try:
        settings = load()
        open_contents(settings)  # a bad LMAAS_FILES stops the start
    except BadSettings as error:
        sys.exit(f"housekeeper does not start: {error.message}")
    logs.configure(settings, "housekeeper")
    failpoints.arm(settings.failpoints)
    end_process_with_any_thread()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    engine = open_engine(settings, application="lmaas-housekeeper", connections=8)
    log.info("housekeeper is ready")
    chores.work(all_chores(engine, settings), stopping)
    engine.dispose()


if __name__ == "__main__":
    main()
