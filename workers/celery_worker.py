"""The Celery side of a worker: it hears bells for one model version.

The threads pool is used because a process that touched CUDA cannot fork. Its
threads only wait for jobs; each of them holds at least one, so a few more
threads than slots are always enough.
"""

import socket
import warnings
from collections.abc import Callable
from uuid import UUID

from celery import signals
from celery.exceptions import SecurityWarning

from bells.celery_app import RUN, make_app, queue_name
from jobs.settings import Settings

_RESERVE = 8

Run = Callable[[list[UUID]], dict[str, str]]


def serve(settings: Settings, *, model: str, version: int, slots: int, run: Run, name: str,
          leaving: Callable[[], None]) -> None:  # fmt: skip
    """Serves bells until SIGTERM; returns after Celery's warm shutdown.

    `leaving` is called when the shutdown begins; it must let every `run` end,
    since Celery waits for its threads without a bound.
    """
    app = make_app(settings)

    @app.task(name=RUN)  # type: ignore[untyped-decorator]
    def bell(ids: object = None, *_: object, **__: object) -> dict[str, str]:
        return run(_ids(ids))

    def shutting_down(**_: object) -> None:
        leaving()

    signals.worker_shutting_down.connect(shutting_down, weak=False)
    # Celery warns root of pickled messages; only JSON is accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.worker_main(
        [
            "--quiet",
            "worker",
            f"--queues={queue_name(model, version)}",
            "--pool=threads",
            f"--concurrency={slots + _RESERVE}",
            f"--hostname={model}-{name}@{socket.gethostname()}",
            "--loglevel=WARNING",
            "--task-events",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _ids(words: object) -> list[UUID]:
    """The ids of a bell; anybody with Redis can ring, so garbage is passed over."""
    found = []
    for word in words if isinstance(words, list) else []:
        try:
            found.append(UUID(str(word)))
        except ValueError:
            continue
    return found
