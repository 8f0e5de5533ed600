"""A worker dies, sleeps or leaves in mid-decode: every job ends exactly once."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import psutil
import pytest
from sqlalchemy import Engine, text

from jobs.database import open_engine, run
from jobs.settings import Settings
from jobs.states import State
from tests.conditions import eventually
from tests.invariants import Ledger, check_all_ended, check_history, read_ledger, unfinished
from tests.stack import Stack

SPEED = 100  # tokens, which are bytes, a second


@pytest.fixture(scope="module")
def running(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A front door and a dispatcher; every test brings its own workers."""
    stack = Stack(
        tmp_path_factory.mktemp("stack"),
        database_url=module_database_url,
        redis_url=redis_url,
        LMAAS_DEVICE="cpu",  # or the worker imports torch to look for another
        LMAAS_ECHO_TOKENS_PER_S=str(SPEED),
        LMAAS_SLOTS="8",
    )
    stack.command("models_store", "echo")
    stack.start("web", "dispatcher")
    yield stack
    stack.close()


@pytest.fixture
def stack(running: Stack, engine: Engine) -> Iterator[Stack]:
    """After each test its workers are stopped, and every job has ended once."""
    yield running
    workers = [name for name in running._children if name.startswith("worker")]
    if workers:
        running.stop(*workers)
    check_all_ended(engine)


@pytest.fixture(scope="module")
def engine(module_database_url: str, redis_url: str) -> Iterator[Engine]:
    given = {"DATABASE_URL": module_database_url, "REDIS_URL": redis_url}
    engine = open_engine(Settings.model_validate(given), application="tests")
    yield engine
    engine.dispose()


def submit(stack: Stack, prompt: str) -> UUID:
    body = {"task": "generate", "model": "echo", "input": {"prompt": prompt}}
    body["parameters"] = {"max_tokens": len(prompt)}
    response = stack.http.post("/v1/jobs", json=body)
    assert response.status_code == 202, response.text
    return UUID(response.json()["id"])


def result(stack: Stack, id: UUID) -> str:
    job = stack.http.get(f"/v1/jobs/{id}?wait=60").json()
    assert job["status"] == "succeeded", job
    return str(job["result"]["text"])


def live(stack: Stack) -> list[dict[str, Any]]:
    """The workers with a live lease."""
    found: list[dict[str, Any]] = stack.http.get("/v1/workers").json()["data"]
    return found


def is_gone(stack: Stack, worker_id: str) -> bool:
    return worker_id not in [worker["id"] for worker in live(stack)]


def child(stack: Stack) -> int:
    """The process id of the one live worker's child."""
    [found] = live(stack)
    return int(found["pid"])


def in_mid_decode(engine: Engine, ids: list[UUID]) -> bool:
    """Whether all of these run."""
    jobs = read_ledger(engine).jobs
    return all(jobs[id].state == State.RUNNING for id in ids)


def of(ledger: Ledger, ids: list[UUID]) -> list[Any]:
    return [ledger.jobs[id] for id in ids]


def workers(engine: Engine) -> list[Any]:
    """All incarnations, oldest first."""
    return list(run(engine, text("SELECT * FROM workers ORDER BY started_at"), {}))


def test_every_job_of_a_killed_child_ends_once_long_before_its_lease(
    stack: Stack, engine: Engine
) -> None:
    stack.start("worker", LMAAS_LEASE_S="60", LMAAS_HEARTBEAT_S="10")
    stack.ready()
    prompts = [f"{number:02}" * (SPEED // 2) for number in range(12)]
    ids = [submit(stack, prompt) for prompt in prompts]
    eventually(lambda: in_mid_decode(engine, ids[:8]), within_s=10)
    os.kill(child(stack), signal.SIGKILL)
    assert [result(stack, id) for id in ids] == prompts
    ledger = check_all_ended(engine)
    jobs = of(ledger, ids)
    assert [(job.attempt, job.crashes) for job in jobs[:8]] == [(2, 0)] * 8
    assert [(job.attempt, job.crashes) for job in jobs[8:]] == [(1, 0)] * 4
    killed = workers(engine)[-2]
    assert killed.ended_at < killed.lease_until  # by its parent, not by the clock


def test_children_killed_over_and_over_lose_nothing(stack: Stack, engine: Engine) -> None:
    stack.start("worker", "worker.2")
    stack.ready(workers=2)
    ids = [submit(stack, "again" * 20) for _ in range(40)]
    for _ in range(2):
        victim = eventually(lambda: next((w for w in live(stack) if w["busy"]), None), within_s=20)
        os.kill(victim["pid"], signal.SIGKILL)
        eventually(partial(is_gone, stack, victim["id"]), within_s=10)
    assert {result(stack, id) for id in ids} == {"again" * 20}


def test_a_killed_parent_takes_its_child_along_and_jobs_are_not_charged(
    stack: Stack, engine: Engine
) -> None:
    stack.start("worker", LMAAS_DRAIN_S="1")
    stack.ready()
    orphan = child(stack)
    long, short = submit(stack, "p" * 4 * SPEED), submit(stack, "q" * 20)
    eventually(lambda: in_mid_decode(engine, [long]), within_s=10)
    stack.kill("worker")
    eventually(lambda: not psutil.pid_exists(orphan), within_s=15)
    jobs = read_ledger(engine).jobs
    assert jobs[long].state == State.QUEUED
    assert jobs[long].crashes == 0
    stack.start("worker", LMAAS_ECHO_TOKENS_PER_S="0")
    assert result(stack, long) == "p" * 4 * SPEED
    assert result(stack, short) == "q" * 20


def test_a_child_that_slept_longer_than_its_lease_writes_nothing(
    stack: Stack, engine: Engine
) -> None:
    stack.start("worker")
    stack.ready()
    prompts = [f"{number}" * SPEED for number in range(6)]
    ids = [submit(stack, prompt) for prompt in prompts]
    eventually(lambda: in_mid_decode(engine, ids), within_s=10)
    sleeper = child(stack)
    os.kill(sleeper, signal.SIGSTOP)
    try:
        stack.start("worker.2")
        assert [result(stack, id) for id in ids] == prompts
        ended = read_ledger(engine)
    finally:
        os.kill(sleeper, signal.SIGCONT)
    # It comes back under a new lease, with the model still loaded.
    stack.ready(workers=2)
    assert sleeper in {worker["pid"] for worker in live(stack)}
    late = [submit(stack, "late") for _ in range(4)]
    assert {result(stack, id) for id in late} == {"late"}
    after = check_all_ended(engine)
    assert of(after, ids) == of(ended, ids)
    assert {job.attempt for job in of(after, ids)} == {2}
    log = stack.log("worker")
    assert "stale and is discarded" in log or "jobs are let go" in log or "no longer ours" in log


def test_a_drain_finishes_what_it_can_and_gives_the_rest_back_uncharged(
    stack: Stack, engine: Engine
) -> None:
    stack.start("worker", LMAAS_DRAIN_S="2")
    stack.ready()
    long = [submit(stack, "l" * 8 * SPEED) for _ in range(3)]
    short = [submit(stack, "s" * SPEED) for _ in range(3)]
    eventually(lambda: in_mid_decode(engine, long + short), within_s=10)
    stack.stop("worker")
    ledger = check_history(engine)
    assert {(job.state, job.attempt) for job in of(ledger, short)} == {(State.SUCCEEDED, 1)}
    assert {(job.state, job.crashes) for job in of(ledger, long)} == {(State.QUEUED, 0)}
    assert workers(engine)[-1].ended_at is not None
    stack.start("worker", LMAAS_ECHO_TOKENS_PER_S="0")
    assert {result(stack, id) for id in long} == {"l" * 8 * SPEED}
    assert {(job.attempt, job.crashes) for job in of(check_all_ended(engine), long)} == {(2, 0)}


def test_two_dispatchers_and_two_workers_run_every_job_once(stack: Stack, engine: Engine) -> None:
    stack.start("dispatcher.2")
    stack.start("worker", "worker.2")
    stack.ready(workers=2)
    prompts = [f"number {number}" for number in range(300)]
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda prompt: submit(stack, prompt), prompts))
        assert list(pool.map(lambda id: result(stack, id), ids)) == prompts
    jobs = of(check_all_ended(engine), ids)
    assert {(job.attempt, job.crashes) for job in jobs} == {(1, 0)}
    assert len({job.worker_id for job in jobs}) == 2
    stack.stop("dispatcher.2")


def test_rolling_restarts_under_load_charge_nobody(stack: Stack, engine: Engine) -> None:
    stack.start("worker", "worker.2")
    stack.ready(workers=2)
    ids = [submit(stack, "roll" * 10) for _ in range(60)]
    stack.stop("worker")
    stack.start("worker")
    stack.ready(workers=2)
    stack.stop("worker.2")
    assert {result(stack, id) for id in ids} == {"roll" * 10}
    assert {job.crashes for job in of(check_all_ended(engine), ids)} == {0}
    assert unfinished(engine) == 0
