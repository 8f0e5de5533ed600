"""One worker's parts in the test's process, over real Postgres."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine
from tokenizers import Tokenizer

from bells.hints import Hints
from bells.token_stream import TokenWriter
from jobs import job_views
from jobs.envelopes import NewJob
from jobs.job_views import JobView
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from models_store.prompt import PromptRenderer
from tests.integration.job_samples import MODEL, VERSION, a_job, a_tenant, a_worker, release_all
from workers.confidence import Confidence
from workers.engines import protocol
from workers.engines.echo import EchoEngine
from workers.held_jobs import HeldJobs
from workers.identity import Identity
from workers.job_handler import JobHandler
from workers.model_server import ModelServer
from workers.result_writer import ResultWriter


class SlowRenderer(PromptRenderer):
    """A renderer that a test can hold up while a job is being prepared."""

    def __init__(self, real: PromptRenderer) -> None:
        self._real = real
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def encode(self, text: str, *, special: bool) -> list[int]:
        self.entered.set()
        self.go_on.wait(timeout=20)
        return self._real.encode(text, special=special)

    def tokens(self, item: str | Sequence[int]) -> list[int]:
        return self._real.tokens(item)

    @property
    def tokenizer(self) -> Tokenizer:
        return self._real.tokenizer

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        return self._real.chat(messages)


class Bench:
    """One worker's parts in this process, without Celery and without a lease keeper."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        folder: Path,
        load: Callable[[], protocol.Engine] | None = None,
        lease_s: float = 60,
    ) -> None:
        self.engine = engine
        self.manager = TaskManager(engine)
        self.tenant_id = a_tenant(engine)
        self.identity = Identity(MODEL, VERSION, "cpu", worker_id=a_worker(engine, lease_s=lease_s))
        self.held = HeldJobs()
        self.renderer = SlowRenderer(PromptRenderer.load(folder))
        hints, tokens = Hints(settings), TokenWriter(settings)
        self.writer = ResultWriter(
            task_manager=self.manager,
            identity=self.identity,
            held=self.held,
            hints=hints,
            tokens=tokens,
        )
        self.confidence = Confidence()
        self.handler = JobHandler(
            identity=self.identity,
            claims=self.manager,
            renderer=self.renderer,
            held=self.held,
            writer=self.writer,
            hints=hints,
            tokens=tokens,
            confidence=self.confidence,
        )
        self.broken: list[BaseException] = []
        echo = EchoEngine(slots=4, tokens_per_s=20, folder=folder)
        self.server = ModelServer(
            load or (lambda: echo), self.handler.running, broken=self.broken.append
        )
        self.server.start()
        self.writer.start()

    def submit(self, job: NewJob) -> UUID:
        """A released job."""
        self.manager.submit(job)
        release_all(self.manager)
        return job.id

    def long_job(self) -> UUID:
        """A job of many seconds: 400 tokens at 20 a second."""
        job = a_job(self.tenant_id, prompt="x" * 400)
        job.parameters["max_tokens"] = 400
        return self.submit(job)

    def view(self, id: UUID) -> JobView:
        view = job_views.get(self.engine, self.tenant_id, id)
        assert view is not None
        return view

    def stop(self) -> None:
        self.renderer.go_on.set()
        self.handler.stop_claiming()
        for held in self.held.snapshot():
            self.handler.running.drop(held)
        self.writer.stop()
        self.server.stop()
