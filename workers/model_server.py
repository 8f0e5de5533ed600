"""The Model Server: one engine, and the one thread that may touch it.

Other threads post what they want; it is obeyed between two steps, so a cancel
waits for one step at most and no engine needs a lock. That thread loads the
engine too: OpenMP keeps a team of threads for each thread that ever computed,
and with two teams on the same cores every barrier sleeps instead of spinning
(a third of all tokens per second on two cores).
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from jobs.errors import EngineFailed, LmaasError
from jobs.failpoints import reach
from workers.engines.protocol import Chunk, Engine, Partial, Work

_IDLE_S = 0.5


class Listener(Protocol):
    """Who hears what became of the sequences; called in the engine's thread."""

    def on_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Sequences gained tokens; those with a finish reason are over."""

    def on_removed(self, id: UUID, partial: Partial) -> None:
        """A sequence left before its end, because `remove` asked for it."""

    def on_refused(self, id: UUID, error: LmaasError) -> None:
        """The engine did not take a sequence in; the others are untouched."""


class _NoEngine:
    """Stands there until the engine is loaded; nothing can be asked of it."""

    slots = 0
    active = 0

    def add(self, request: Work) -> None:
        raise EngineFailed(f"no engine yet for sequence {request.id}")

    def remove(self, id: UUID) -> Partial | None:
        raise EngineFailed(f"no engine yet for sequence {id}")

    def step(self) -> list[Chunk]:
        raise EngineFailed("no engine yet")


class ModelServer:
    """See the module. `load` makes the engine; `broken` is called once if it
    fails as a whole later on."""

    def __init__(
        self,
        load: Callable[[], Engine],
        listener: Listener,
        broken: Callable[[BaseException], None],
    ) -> None:
        self._load = load
        self._engine: Engine = _NoEngine()
        self._loaded: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._listener = listener
        self._broken = broken
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopped = False
        self._step_began: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def slots(self) -> int:
        """The most sequences the engine takes."""
        return self._engine.slots

    def start(self) -> None:
        """Starts the engine's thread and returns when the engine is loaded;
        raises what loading raised."""
        self._thread.start()
        error = self._loaded.get()
        if error is not None:
            raise error

    def stop(self) -> None:
        """Ends the thread after the step under way."""
        self._stopped = True
        self._wishes.put(lambda: None)
        self._thread.join(timeout=5)

    def add(self, request: Work) -> None:
        """Lets a sequence join at the next step."""
        self._wishes.put(lambda: self._add(request))

    def remove(self, id: UUID) -> None:
        """Takes a sequence out at the next step; one that is over is left alone."""
        self._wishes.put(lambda: self._remove(id))

    def seconds_in_step(self) -> float:
        """How long the step under way has been running; 0 between steps."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    def _run(self) -> None:
        try:
            self._engine = self._load()
        except Exception as error:  # noqa: BLE001 - raised again by `start`
            self._loaded.put(error)
            return
        self._loaded.put(None)
        try:
            while not self._stopped:
                self._obey()
                if self._engine.active:
                    self._step()
        except BaseException as error:
            self._broken(error)
            raise

    def _obey(self) -> None:
        """Does all that was asked for; waits for a wish while nothing runs."""
        if not self._engine.active:
            try:
                self._wishes.get(timeout=_IDLE_S)()
            except queue.Empty:
                return
        while True:
            try:
                self._wishes.get_nowait()()
            except queue.Empty:
                return

    def _step(self) -> None:
        self._step_began = time.monotonic()
        reach("worker.decoding")
        chunks = self._engine.step()
        self._step_began = None
        if chunks:
            self._listener.on_chunks(chunks)

    def _add(self, request: Work) -> None:
        try:
            self._engine.add(request)
        except LmaasError as error:
            self._listener.on_refused(request.id, error)

    def _remove(self, id: UUID) -> None:
        partial = self._engine.remove(id)
        if partial is not None:
            self._listener.on_removed(id, partial)
