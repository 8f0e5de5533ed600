"""When keys were last used: noted in memory, written from a thread of its own.

No request waits for it. What a process that is killed had not written is lost: up to
`_WRITE_EVERY_S` of a note that is good to a minute anyway.
"""

import logging
import threading
import time
from uuid import UUID

from sqlalchemy import Engine

from jobs import keys
from jobs.errors import DatabaseUnavailable

_WRITE_EVERY_S = 15.0
_MOST = 10_000

log = logging.getLogger(__name__)


class KeyUses:
    """See the module. `note` may be called by any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._used: dict[UUID, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key-uses", daemon=True)

    def start(self) -> None:
        """Starts the thread; it is a daemon."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def note(self, key_id: UUID) -> None:
        """The key is being used now."""
        if len(self._used) < _MOST:
            self._used[key_id] = time.monotonic()

    def write(self) -> int:
        """Writes what was noted; returns how many keys were due."""
        used, self._used = self._used, {}
        now = time.monotonic()
        ages_s = {key_id: now - at for key_id, at in used.items()}
        return keys.note_uses(self._engine, ages_s) if ages_s else 0

    def _run(self) -> None:
        while not self._stopping.wait(_WRITE_EVERY_S):
            try:
                self.write()
            except DatabaseUnavailable as error:
                log.debug("uses of keys are not noted: %s", error.message)
