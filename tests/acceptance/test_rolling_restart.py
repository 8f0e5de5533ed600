"""Every process is restarted by SIGTERM, one after another, while clients work."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest
from sqlalchemy import Engine, text

from jobs.database import open_engine, run
from jobs.ids import new_id
from jobs.settings import Settings
from jobs.states import State
from tests.conditions import eventually
from tests.invariants import check_all_ended
from tests.stack import Stack

SPEED = 100  # tokens, which are bytes, a second
DRAIN_S = 1
# More than there are slots, so that both workers are full when they are stopped.
CLIENTS = 8
SLOTS = 3
# Every second job takes much longer than a drain: it is given back and runs again.
LENGTHS = (50, 5 * DRAIN_S * SPEED)
# In the order of an upgrade; the second worker has work while the first one restarts.
ORDER = ("web", "dispatcher", "housekeeper", "worker", "worker.2")


@pytest.fixture
def stack(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("rolling"),
        database_url=database_url,
        redis_url=redis_url,
        LMAAS_DEVICE="cpu",
        LMAAS_ECHO_TOKENS_PER_S=str(SPEED),
        LMAAS_DRAIN_S=str(DRAIN_S),
        LMAAS_SLOTS=str(SLOTS),
    )
    started.command("models_store", "echo")
    started.start(*ORDER)
    yield started
    started.close()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings, application="tests")
    yield engine
    engine.dispose()


class Client:
    """Submits a job and waits for its end, over and over. It asks again after a
    refused or cut connection and after a 503, and takes nothing else."""

    def __init__(self, stack: Stack, number: int, stopping: threading.Event) -> None:
        self._number = number
        self._stopping = stopping
        self._http = httpx.Client(
            base_url=stack.http.base_url, headers=stack.http.headers, timeout=30, trust_env=False
        )
        self.retries = 0
        self.succeeded: list[UUID] = []

    def run(self) -> None:
        """Until it is stopped, and then to the end of the job in hand."""
        with self._http:
            for number in count():
                if self._stopping.is_set():
                    return
                self._one(f"{self._number}.{number}.", LENGTHS[number % len(LENGTHS)])

    def _one(self, name: str, length: int) -> None:
        prompt = (name * length)[:length]
        body = {"task": "generate", "model": "echo", "input": {"prompt": prompt},
                "parameters": {"max_tokens": length}}  # fmt: skip
        key = {"Idempotency-Key": str(new_id())}
        job = self._ask("POST", "/v1/jobs", json=body, headers=key)
        deadline = time.monotonic() + 60
        while job["status"] in ("queued", "running"):
            assert time.monotonic() < deadline, job
            job = self._ask("GET", f"/v1/jobs/{job['id']}?wait=2")
        assert job["status"] == "succeeded", job
        assert job["result"]["text"] == prompt
        self.succeeded.append(UUID(job["id"]))

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        def once() -> httpx.Response | None:
            try:
                answer = self._http.request(method, path, **more)
            except httpx.TransportError:
                answer = None
            if answer is None or answer.status_code == 503:
                self.retries += 1
                self._stopping.wait(0.05)
                return None
            return answer

        answer = eventually(once, within_s=30, what=f"an answer to {method} {path}")
        assert answer.is_success, answer.text
        return answer.json()


def restarted(stack: Stack, name: str) -> None:
    """SIGTERM, its end within a bound, and its successor at work."""
    began = time.monotonic()
    stack.stop(name)
    # A drain, what Celery and gunicorn need beside it, and a slow machine.
    assert time.monotonic() - began < DRAIN_S + 15
    stack.start(name)
    stack.ready(workers=2)


def done(clients: list[Client]) -> int:
    return sum(len(client.succeeded) for client in clients)


def test_a_rolling_restart_of_everything_under_load_loses_fails_and_charges_nothing(
    stack: Stack, engine: Engine
) -> None:
    stack.ready(workers=2)
    stopping = threading.Event()
    clients = [Client(stack, number, stopping) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        running: list[Future[None]] = [pool.submit(client.run) for client in clients]
        try:
            for name in ORDER:
                before = done(clients)
                restarted(stack, name)
                eventually(lambda before=before: done(clients) > before, within_s=30)  # type: ignore[misc]
        finally:
            stopping.set()
        for client in running:
            client.result(timeout=90)
    ledger = check_all_ended(engine)
    assert {id for client in clients for id in client.succeeded} == set(ledger.jobs)
    jobs = ledger.jobs.values()
    assert {(job.state, job.errors, job.crashes) for job in jobs} == {(State.SUCCEEDED, 0, 0)}
    given_back = text("SELECT count(*) FROM job_events WHERE reason = 'given_back'")
    assert run(engine, given_back, {})[0][0] > 0  # or no drain was cut short, and nothing shown
    reasons = text("SELECT DISTINCT reason FROM job_events WHERE kind = 'queued'")
    assert {row.reason for row in run(engine, reasons, {})} == {None, "given_back"}
