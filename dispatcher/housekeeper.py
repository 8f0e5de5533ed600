"""`python -m dispatcher.housekeeper`: what is neither next nor now.

Several of these processes may run at once.
"""

import logging
import signal
import sys
import threading
from functools import partial

from sqlalchemy import Engine

from dispatcher import chores
from dispatcher.batch_dry_runs import BatchDryRuns
from dispatcher.batch_intake import BatchIntake
from dispatcher.batch_outputs import BatchOutputs, end_lines
from dispatcher.batch_retries import BatchRetries
from dispatcher.batch_steering import find_strays, settle_lines
from dispatcher.chores import Chore
from dispatcher.deleted_models import finish_deletions
from dispatcher.forgetting import keep_house
from dispatcher.upkeep import erase_results, keep_files
from dispatcher.webhook_delivery import LOOK_EVERY_S, WebhookDelivery, tidy
from files_store.contents import open_contents
from jobs import failpoints, logs
from jobs.database import open_engine
from jobs.errors import BadSettings
from jobs.outlook import failing_chores
from jobs.quotas import folding
from jobs.settings import Settings, load
from jobs.task_manager import TaskManager
from jobs.threads import end_process_with_any_thread

log = logging.getLogger(__name__)


def all_chores(engine: Engine, settings: Settings) -> list[Chore]:
    """What this process does; each line is one kind of work."""
    contents, manager = open_contents(settings), TaskManager(engine)
    return [
        Chore("forgetting", 60.0, lambda _: keep_house(engine)),
        Chore("quotas", 1.0, lambda stopping: folding.fold_due(engine, stopping)),
        Chore("deleted-models", 1.0, lambda _: finish_deletions(engine, settings)),
        Chore("files", 30.0, lambda _: keep_files(engine, contents)),
        Chore("retention", 60.0, lambda _: erase_results(manager)),
        Chore("batch intake", 0.5, BatchIntake(engine, settings, contents).piece),
        Chore("batch ends", 0.5, lambda _: end_lines(engine)),
        Chore("batch outputs", 0.5, BatchOutputs(engine, contents).piece),
        Chore("batch steering", 0.5, lambda _: settle_lines(engine)),
        Chore("batch strays", 5.0, lambda _: find_strays(engine)),
        Chore("batch retries", 0.5, BatchRetries(engine, contents, settings).piece),
        Chore("batch dry runs", 0.5, BatchDryRuns(engine, settings, contents).piece),
        Chore("webhooks", LOOK_EVERY_S, WebhookDelivery(engine, settings).run),
        Chore("webhook log", 60.0, lambda _: tidy(engine)),
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
    chores.work(all_chores(engine, settings), stopping, partial(failing_chores.record, engine))
    engine.dispose()


if __name__ == "__main__":
    main()
