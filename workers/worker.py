"""One worker process, wired together: from load over serving to drain."""

import logging
import os
import signal
import threading
import time
from functools import partial

from bells.hints import CANCELLED, Hints, listen
from bells.token_stream import TokenWriter
from jobs.database import open_engine
from jobs.errors import DatabaseUnavailable, LmaasError
from jobs.outlook import crash_loops
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from jobs.threads import end_process_with_any_thread
from models_store import prompt
from models_store.catalog import ModelVersion
from models_store.importer import verify
from workers import celery_worker, exit_codes
from workers.confidence import Confidence, prove
from workers.engines.loading import device_of, load_engine
from workers.engines.protocol import Engine
from workers.fence_watcher import FenceWatcher
from workers.held_jobs import HeldJobs
from workers.identity import Identity
from workers.job_handler import JobHandler
from workers.lease_keeper import LeaseKeeper
from workers.model_server import ModelServer
from workers.preparation import proof
from workers.result_writer import ResultWriter

# What a stopping worker may need beyond the drain, with Postgres or Redis away.
_GRACE_S = 15.0
# What Celery may take to say goodbye; an idle one would wait for seconds.
_LAST_WORDS_S = 1.5

log = logging.getLogger(__name__)


class Worker:
    """All parts of one worker process, wired together."""

    def __init__(self, settings: Settings, version: ModelVersion) -> None:
        self._settings = settings
        self._version = version
        engine = partial(open_engine, settings, plan_once=True)
        self._durable = engine(application="lmaas-worker", connections=4)
        self._quick = engine(application="lmaas-worker-claims", connections=2, durable=False)
        self._identity = Identity(version.name, version.version, device_of(version, settings))
        if settings.process_id is not None:
            self._identity.process_id = settings.process_id
        self._held = HeldJobs()
        self._confidence = Confidence()
        self._renderer = prompt.renderer(version, settings.models_folder)
        hints, tokens = Hints(settings), TokenWriter(settings)
        self._task_manager = TaskManager(self._durable)
        self._writer = ResultWriter(
            task_manager=self._task_manager,
            identity=self._identity,
            held=self._held,
            hints=hints,
            tokens=tokens,
        )
        self._handler = JobHandler(
            identity=self._identity,
            claims=TaskManager(self._quick),
            renderer=self._renderer,
            held=self._held,
            writer=self._writer,
            hints=hints,
            confidence=self._confidence,
            tokens=tokens,
        )
        self._keeper = self._lease_keeper()
        self._watcher = FenceWatcher(
            self._task_manager, self._identity, self._held, self._handler.running
        )
        self._server: ModelServer | None = None
        self._load_began = time.monotonic()
        self._drained = threading.Event()
        self._leaving = threading.Event()

    def _lease_keeper(self) -> LeaseKeeper:
        return LeaseKeeper(
            engine=self._durable,
            settings=self._settings,
            identity=self._identity,
            healthy=self._is_healthy,
            hung=lambda: _die("the engine hangs, or took too long to load"),
            lost=self._drop_all,
            stale_writes=lambda: self._writer.stale_writes,
            proven=lambda: self._confidence.proven,
        )

    def run(self) -> None:
        """Loads the model, serves until SIGTERM, drains."""
        end_process_with_any_thread()
        self._keeper.start()
        verify(self._version, self._settings.models_folder)
        self._confidence.careful = self._is_in_crash_loop()
        server = ModelServer(
            self._load,
            self._handler.running,
            broken=lambda error: _die("the engine failed", error),
        )
        server.start()
        self._server = server
        # From here on a SIGTERM drains; Celery puts its own handler over this one.
        signal.signal(signal.SIGTERM, lambda *_: self.leave())
        self._writer.start()
        self._watcher.start()
        self._handler.start(self._server)
        threading.Thread(
            target=listen,
            args=(self._settings, CANCELLED, self._watcher.hear, self._leaving),
            name="cancel-ear",
            daemon=True,
        ).start()
        self._keeper.report("ready", server.slots)
        log.info("ready: %s on %s, %d slots",
                 self._version.reference, self._identity.device, server.slots)  # fmt: skip
        celery_worker.serve(
            self._settings,
            model=self._version.name,
            version=self._version.version,
            slots=server.slots,
            run=self._handler.run,
            name=str(os.getpid()),
            leaving=self.leave,
        )
        self.leave()
        self._drained.wait(self._settings.drain_s + _GRACE_S)

    def _is_in_crash_loop(self) -> bool:
        try:
            crashes = crash_loops.read(self._durable, self._version.name, self._version.version)
        except DatabaseUnavailable:
            return True  # to be careful costs little
        if crashes is None or not crashes.careful:
            return False
        log.warning("the last %d workers died before they had finished a job; this one proves its "
                    "engine and takes one job at a time", crashes.since_proof)  # fmt: skip
        return True

    def _load(self) -> Engine:
        engine = load_engine(self._version, self._settings)
        if self._confidence.careful:
            prove(engine, proof(self._version.tasks, self._renderer))
        return engine

    def leave(self) -> None:
        """Begins the drain in a thread; called from a signal's handler too."""
        if not self._leaving.is_set():
            self._leaving.set()
            threading.Thread(target=self._drain, name="drain", daemon=False).start()

    def _drain(self) -> None:
        """Bounded: stop claiming, let jobs finish for a while, give back the rest."""
        last = threading.Timer(self._settings.drain_s + _GRACE_S, os._exit, args=(0,))
        last.daemon = True
        last.start()
        self._handler.stop_claiming()
        self._keeper.report("draining", 0)
        deadline = time.monotonic() + self._settings.drain_s
        while len(self._held) and time.monotonic() < deadline:
            time.sleep(0.02)
        rest = self._held.snapshot()
        worker_id = self._identity.worker_id
        self._watcher.stop()
        for held in rest:
            self._handler.running.drop(held)
        if rest and worker_id is not None:
            try:
                returned = self._task_manager.give_back(worker_id, [held.job.id for held in rest])
                log.info("drained; %d jobs were given back", len(returned))
            except LmaasError as error:
                log.warning("jobs could not be given back and wait for the reaper: %s", error)
        self._writer.stop()
        self._keeper.stop()
        self._drained.set()
        # Celery may be waiting for a Redis that is away; nothing is left to lose.
        end = threading.Timer(_LAST_WORDS_S, os._exit, args=(0,))
        end.daemon = True
        end.start()

    def _is_healthy(self) -> bool:
        if self._server is None:
            return time.monotonic() - self._load_began < self._settings.load_s
        return self._server.seconds_in_step() < self._settings.step_s

    def _drop_all(self) -> None:
        for held in self._held.snapshot():
            self._handler.running.drop(held)


def _die(why: str, error: BaseException | None = None) -> None:
    """The process ends at once, its parent ends the lease and starts another;
    the jobs go back to the queue."""
    log.critical("%s; this worker ends", why, exc_info=error)
    os._exit(exit_codes.ENGINE)
