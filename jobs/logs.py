"""How every process logs: one line an event, JSON by default, to stderr.

Logs carry ids, codes and numbers; no prompt, no completion, no key.
"""

import logging
import sys

import structlog
from structlog.typing import Processor

from jobs.settings import Settings


def configure(settings: Settings, process: str) -> None:
    """Sends the standard library's logging through structlog's renderer."""
    shared: list[Processor] = [
        # What a process binds to the work of the moment: the web its request's id.
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: Processor
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _stamp(process)],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Celery logs every message it receives, kombu every reconnect with its URL.
    for noisy in ("celery", "kombu", "amqp", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Celery sets the root's level to its own when it starts.
    for ours in ("api", "bells", "dispatcher", "files_store", "jobs", "models_store", "workers"):
        logging.getLogger(ours).setLevel(logging.INFO)


def _stamp(process: str) -> Processor:
    def add(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add
