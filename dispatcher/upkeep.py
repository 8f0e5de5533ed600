"""What is erased in the background: results and files that nobody wants kept, late
uploads, and bytes that no row speaks for."""

from sqlalchemy import Engine

from dispatcher.chores import MORE
from files_store import expiry, loose, uploads
from files_store.contents import Contents
from jobs.task_manager import TaskManager


def keep_files(engine: Engine, contents: Contents) -> object:
    """A bounded piece of each; `MORE` if more may wait."""
    more = [
        expiry.expire(engine, contents),
        uploads.expire_uploads(engine, contents),
        loose.sweep(engine, contents),
    ]
    return MORE if any(more) else None


def erase_results(manager: TaskManager) -> object:
    """A bounded piece; `MORE` if more may wait."""
    return MORE if manager.erase_due() else None
