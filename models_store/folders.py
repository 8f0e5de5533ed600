"""Where the files of a version lie, and where an import works until it is done.

All paths are made here, from checked names and numbers; none comes from a
client.
"""

import os
import shutil
import time
from pathlib import Path
from uuid import uuid4

from models_store.names import check_name

_WORK_PREFIX = ".importing-"
_ABANDONED_AFTER_S = 86_400


def version_folder(models_folder: Path, name: str, version: int) -> Path:
    """The folder of one version, `<models_folder>/<name>/<version>`."""
    return models_folder / check_name(name) / str(version)


def new_work_folder(parent: Path) -> Path:
    """A new, empty folder in `parent`, by its name invisible to readers."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{_WORK_PREFIX}{uuid4().hex}"
    folder.mkdir()
    return folder


def remove_abandoned(parent: Path) -> int:
    """Removes the work folders of more than a day ago: their makers were killed."""
    oldest = time.time() - _ABANDONED_AFTER_S
    abandoned = [
        folder for folder in parent.glob(f"{_WORK_PREFIX}*") if _is_older(folder, than=oldest)
    ]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return len(abandoned)


def _is_older(folder: Path, *, than: float) -> bool:
    try:
        return folder.lstat().st_mtime < than
    except FileNotFoundError:  # an import beside this one has just moved it to its place
        return False


def publish(work: Path, target: Path) -> None:
    """Moves a finished folder into its place in one step.

    What stood there, a damaged copy of the same, goes aside first and is
    removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = None
    if target.exists():
        aside = work.with_name(f"{_WORK_PREFIX}{uuid4().hex}")
        target.rename(aside)
    work.rename(target)
    for folder in (target, target.parent, target.parent.parent):
        sync_folder(folder)
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
