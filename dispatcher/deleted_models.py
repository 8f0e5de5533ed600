"""The rest of a model version's deletion: its waiting jobs fail, then its files go."""

import logging
import shutil
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection, Engine, text

from jobs import deletions
from jobs.database import transact
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from models_store import catalog, deletion, folders
from models_store.catalog import ModelVersion

# A web process may know a deleted version for a moment longer, and a request
# that was checked may take its time to be committed.
_LATE_SUBMITS = timedelta(seconds=60)

_NOW = text("SELECT clock_timestamp()")

log = logging.getLogger(__name__)


def finish_deletions(engine: Engine, settings: Settings) -> None:
    """One round over all deleted versions that still have files. Safe in several
    processes at once."""
    tasks = TaskManager(engine)
    for version in transact(engine, deletion.waiting_for_erasure):
        while ended := tasks.fail_deleted(version.name, version.version):
            log.info("%d jobs failed: %s was deleted", len(ended), version.reference)
        transact(engine, partial(_erase, version, settings))


def _erase(version: ModelVersion, settings: Settings, connection: Connection) -> None:
    """Removes the files, unless somebody needs them or imported them again."""
    catalog.lock_names(connection, [version.name])
    if version not in deletion.waiting_for_erasure(connection) or version.deleted_at is None:
        return
    now = connection.execute(_NOW).scalar_one()
    if now - version.deleted_at < _LATE_SUBMITS:
        return
    if deletions.open_jobs(connection, version.name, version.version):
        return
    folder = folders.version_folder(settings.models_folder, version.name, version.version)
    shutil.rmtree(folder, ignore_errors=True)
    deletion.mark_erased(connection, version)
    deletions.forget_shares(connection, version.name, version.version)
    log.info("removed the files of %s", version.reference)
