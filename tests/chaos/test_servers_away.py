"""Postgres or Redis goes away and comes back: what was accepted is not lost."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from jobs.database import open_engine
from jobs.settings import Settings
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from migrations.__main__ import upgrade
from tests.conditions import eventually
from tests.invariants import check_all_ended, unfinished
from tests.stack import Stack

SPEED = 100  # tokens, which are bytes, a second


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("own"), fsync=False)
    engine = create_engine(server.start())
    with engine.connect() as connection:
        upgrade(connection)
    engine.dispose()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A server of these tests' own, that forgets all when it dies."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"), append_only=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def running(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    stack = Stack(
        tmp_path_factory.mktemp("stack"),
        database_url=postgres.url,
        redis_url=valkey.url,
        LMAAS_DEVICE="cpu",  # or the worker imports torch to look for another
        LMAAS_ECHO_TOKENS_PER_S=str(SPEED),
        LMAAS_DRAIN_S="3",
    )
    stack.command("models_store", "echo")
    stack.start("web", "dispatcher", "housekeeper", "worker")
    stack.ready()
    yield stack
    stack.close()


@pytest.fixture(scope="module")
def engine(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> Iterator[Engine]:
    given = {"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url}
    engine = open_engine(Settings.model_validate(given), application="tests")
    yield engine
    engine.dispose()


@pytest.fixture
def stack(running: Stack, engine: Engine) -> Iterator[Stack]:
    """Before and after each test: one worker with one process id, all jobs ended."""
    before = worker(running)["pid"]
    yield running
    eventually(lambda: unfinished(engine) == 0, within_s=30)
    check_all_ended(engine)
    running.ready()
    assert worker(running)["pid"] == before  # the model was not loaded again


def worker(stack: Stack) -> Any:
    [found] = stack.http.get("/v1/workers").json()["data"]
    return found


def post(stack: Stack, prompt: str = "hello", *, wait: int = 0) -> Any:
    body = {"task": "generate", "model": "echo", "input": {"prompt": prompt}}
    body["parameters"] = {"max_tokens": len(prompt)}
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    return stack.http.post("/v1/jobs", json=body, headers=headers)


def accepted(stack: Stack, prompt: str = "hello", *, within_s: float = 2.0) -> str:
    """A job that was taken, and quickly."""
    began = time.monotonic()
    response = post(stack, prompt)
    assert response.status_code == 202, response.text
    assert time.monotonic() - began < within_s
    return str(response.json()["id"])


def result(stack: Stack, id: str) -> str:
    job = stack.http.get(f"/v1/jobs/{id}?wait=30").json()
    assert job["status"] == "succeeded", job
    return str(job["result"]["text"])


def test_without_redis_jobs_are_accepted_and_run_and_it_may_come_back_empty(
    stack: Stack, valkey: EmbeddedValkey
) -> None:
    long = accepted(stack, "x" * SPEED)
    valkey.kill()
    try:
        ids = [accepted(stack, f"job {number}") for number in range(20)]
        assert [result(stack, id) for id in ids] == [f"job {number}" for number in range(20)]
        assert result(stack, long) == "x" * SPEED
        ready = stack.http.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["checks"]["redis"] == "unavailable"
        waiting = accepted(stack, "y" * 30 * SPEED)
        assert stack.http.post(f"/v1/jobs/{waiting}/cancel").status_code == 200
        job = stack.http.get(f"/v1/jobs/{waiting}?wait=10").json()
        assert job["status"] == "cancelled"
    finally:
        valkey.wipe()
        valkey.start()
    check = "/health/ready"
    eventually(lambda: stack.http.get(check).json()["checks"]["redis"] == "ok", within_s=10)
    assert result(stack, accepted(stack)) == "hello"


def test_with_a_frozen_redis_jobs_are_accepted_and_run(
    stack: Stack, valkey: EmbeddedValkey
) -> None:
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        ids = [accepted(stack, f"job {number}") for number in range(20)]
        assert [result(stack, id) for id in ids] == [f"job {number}" for number in range(20)]
        assert stack.http.get("/health/live").status_code == 200
        assert stack.http.get("/health/ready", timeout=5).status_code == 200
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    assert result(stack, accepted(stack)) == "hello"


def test_after_redis_was_away_bells_are_heard_again(stack: Stack, valkey: EmbeddedValkey) -> None:
    valkey.kill()
    valkey.wipe()
    valkey.start()

    def is_quick() -> bool:
        began = time.monotonic()
        assert post(stack, "a", wait=10).status_code == 200
        return time.monotonic() - began < 0.4

    # By bells and hints a job takes milliseconds; by looking alone up to seconds.
    eventually(lambda: all(is_quick() for _ in range(5)), within_s=20)


def test_without_postgres_nothing_is_accepted_and_what_was_accepted_is_finished_later(
    stack: Stack, postgres: EmbeddedPostgres, engine: Engine
) -> None:
    prompts = [f"{number}" * (3 * SPEED) for number in range(8)]
    ids = [accepted(stack, prompt) for prompt in prompts]
    eventually(lambda: worker(stack)["busy"] == 8, within_s=10)
    postgres.stop()
    try:
        for _ in range(3):
            refused = post(stack)
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.json()["error"]["code"] == "database_unavailable"
        read = stack.http.get(f"/v1/jobs/{ids[0]}")
        assert read.status_code == 503
        ready = stack.http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"] == "unavailable"
        assert "Retry-After" in ready.headers
        assert stack.http.get("/health/live", timeout=5).status_code == 200
    finally:
        postgres.start()
    eventually(lambda: post(stack).status_code == 202, within_s=15)
    assert [result(stack, id) for id in ids] == prompts


def test_a_postgres_that_restarts_again_and_again_loses_nothing(
    stack: Stack, postgres: EmbeddedPostgres
) -> None:
    ids = []
    for number in range(3):
        postgres.kill() if number % 2 else postgres.stop()
        postgres.start()
        for _ in range(10):
            response = post(stack, "between")
            assert response.status_code in (202, 503)
            if response.status_code == 202:
                ids.append(response.json()["id"])
    assert ids
    assert {result(stack, id) for id in ids} == {"between"}


def make_read_only(engine: Engine, *, really: bool) -> None:
    """As a server is after a failover, for all connections but this one."""
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.commit()
        name = connection.scalar(text("SELECT current_database()"))
        setting = "on" if really else "off"
        alter = f"ALTER DATABASE {name} SET default_transaction_read_only = {setting}"
        connection.execute(text(alter))
        connection.commit()
        connection.execute(text(f"{cut} AND datname = current_database()"))
        connection.invalidate()


def test_a_read_only_postgres_is_as_good_as_none(stack: Stack, engine: Engine) -> None:
    id = accepted(stack, "r" * SPEED)
    eventually(lambda: worker(stack)["busy"] == 1, within_s=10)
    make_read_only(engine, really=True)
    try:
        refused = post(stack)
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["code"] == "database_unavailable"
        # Its lease cannot be renewed and runs out: every loop has met the fault by then.
        listed = "/v1/workers"
        eventually(lambda: not stack.http.get(listed).json()["data"], within_s=10)
    finally:
        make_read_only(engine, really=False)
    eventually(lambda: post(stack).status_code == 202, within_s=10)
    assert result(stack, id) == "r" * SPEED


def test_a_worker_leaves_within_its_bound_while_redis_is_away(
    stack: Stack, valkey: EmbeddedValkey
) -> None:
    stack.start("worker.2")
    stack.ready(workers=2)
    valkey.kill()
    try:
        began = time.monotonic()
        stack.stop("worker.2")
        assert time.monotonic() - began < 3 + 3 + 4  # drain, last words, a slow machine
    finally:
        valkey.start()


def test_processes_start_without_redis_and_serve(stack: Stack, valkey: EmbeddedValkey) -> None:
    valkey.kill()
    try:
        stack.start("worker.3")
        stack.ready(workers=2)
        assert result(stack, accepted(stack)) == "hello"
        stack.stop("worker.3")
    finally:
        valkey.start()


def test_no_log_shows_a_traceback_or_a_password(
    stack: Stack, postgres: EmbeddedPostgres, valkey: EmbeddedValkey
) -> None:
    for name in ("web", "dispatcher", "housekeeper", "worker"):
        log = stack.log(name)
        assert postgres.password not in log
        assert valkey.password not in log
        if name in ("web", "dispatcher", "housekeeper"):
            assert "Traceback" not in log
