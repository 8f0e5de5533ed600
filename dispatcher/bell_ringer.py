"""Sends bells from a thread of its own.

Publishing through a frozen Redis can take many seconds; the tick must not wait
for it. What cannot be sent is dropped: workers find released jobs themselves.
"""

import logging
import threading
from collections.abc import Sequence
from uuid import UUID

from bells.celery_app import PUBLISH_FAULTS, Bell
from jobs.failpoints import reach

# Ids for people and Flower to read; more in one message would help nobody.
_MOST_IDS = 100
# Between two bells. The first one rings at once; under load busy workers claim
# whenever a slot frees, and a bell each costs them more than it tells them.
_PAUSE_S = 0.01

log = logging.getLogger(__name__)


class BellRinger:
    """Collects ids for each queue and sends one message for all that gathered
    while the last one was under way."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._waiting: dict[str, list[UUID]] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="bell-ringer", daemon=True)

    def start(self) -> None:
        """Starts the ringing thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what it could not send is dropped."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=2)

    def ring(self, queue: str, ids: Sequence[UUID]) -> None:
        """Takes ids to be rung on a queue; returns at once."""
        with self._changed:
            self._waiting.setdefault(queue, []).extend(ids)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                waiting, self._waiting = self._waiting, {}
            for queue, ids in waiting.items():
                self._send(queue, ids[:_MOST_IDS])
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, timeout=_PAUSE_S)

    def _send(self, queue: str, ids: Sequence[UUID]) -> None:
        try:
            reach("dispatcher.ringing")
            self._bell.ring(queue, ids)
        except PUBLISH_FAULTS as error:
            log.warning("bell on %s not sent (%s); workers look by themselves",
                        queue, type(error).__name__)  # fmt: skip
