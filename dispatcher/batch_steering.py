"""Brings the waiting lines of batches in line with what their owners want, in pieces."""

from sqlalchemy import Engine

from dispatcher.chores import MORE
from jobs.task_manager import TaskManager


def settle_lines(engine: Engine) -> object:
    """Holds, frees or moves a piece of them; `MORE` if there may be others."""
    return MORE if TaskManager(engine).settle_lines() else None


def find_strays(engine: Engine) -> None:
    """Looks for lines that came back to the queue of a paused batch."""
    TaskManager(engine).find_strays()
