"""A process without one of its threads lies: it ends, and is started again."""

import logging
import os
import threading

# sysexits.h: an internal error; parents and supervisors start the process again.
EXIT_SOFTWARE = 70

log = logging.getLogger(__name__)


def end_process_with_any_thread() -> None:
    """From now on an exception that leaves a thread ends the process."""
    threading.excepthook = _end


def _end(died: threading.ExceptHookArgs) -> None:
    if died.exc_type is SystemExit:
        return
    name = died.thread.name if died.thread is not None else "unknown"
    log.critical("the thread %r failed and its process ends", name, exc_info=died.exc_value)
    os._exit(EXIT_SOFTWARE)
