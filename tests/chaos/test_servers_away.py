"""Postgres or Redis goes away and comes back: what was accepted is not lost."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from sqlalchemy import text

from tests.chaos.arena import CANARY, SPEED, Arena
from tests.chaos.fault_proxy import Way
from tests.chaos.history import Kind, Server
from tests.conditions import eventually

Fault = Callable[[Arena], None]


@contextmanager
def no_redis(arena: Arena) -> Iterator[None]:
    """Killed; it comes back empty."""
    arena.valkey.kill()
    try:
        with arena.history.away(Server.REDIS):
            yield
    finally:
        arena.valkey.wipe()
        arena.valkey.start()


@contextmanager
def no_postgres(arena: Arena, *, killed: bool = False) -> Iterator[None]:
    arena.postgres.kill() if killed else arena.postgres.stop()
    try:
        with arena.history.away(Server.POSTGRES):
            yield
    finally:
        arena.postgres.start()


def bells_are_heard(arena: Arena) -> bool:
    """By bells and hints a job takes milliseconds; by looking alone up to seconds."""
    began = time.monotonic()
    response = arena.client.try_submit("a", wait_s=10)
    assert response is not None and response.status_code == 200
    return time.monotonic() - began < 0.4


def test_hundreds_of_submits_without_redis_are_accepted_and_run_and_it_comes_back_empty(
    arena: Arena, rng: random.Random
) -> None:
    long = arena.client.submit("x" * SPEED)
    with no_redis(arena):
        began = time.monotonic()
        ids = arena.submit(rng, 200, longest=20)
        assert time.monotonic() - began < 60  # each by itself would wait for no Redis
        arena.succeed([*ids[:20], long])
        ready = arena.stack.http.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["redis"]) == (200, "unavailable")
        waiting = arena.client.submit("y" * 15 * SPEED)
        assert arena.client.cancel(waiting)
        assert arena.client.ended(waiting)["status"] == "cancelled"
    arena.succeed(ids)
    eventually(lambda: all(bells_are_heard(arena) for _ in range(5)), within_s=20)


def test_a_flushed_redis_idle_in_flight_and_with_a_backlog(
    arena: Arena, rng: random.Random
) -> None:
    with Redis.from_url(arena.valkey.url) as redis:
        redis.flushall()
        arena.succeed(arena.submit(rng, 4))
        ids = arena.submit(rng, 12)
        eventually(arena.running, within_s=10)
        redis.flushall()
        arena.succeed(ids)
        ids = arena.submit(rng, 60)
        for _ in range(5):
            redis.flushall()
        arena.succeed(ids)


def frozen(arena: Arena) -> None:
    os.kill(arena.valkey.pid or 0, signal.SIGSTOP)


def black_holed(arena: Arena) -> None:
    arena.redis_proxy.black_hole()


def reset(arena: Arena) -> None:
    arena.redis_proxy.reset()


def half_closed(arena: Arena) -> None:
    arena.redis_proxy.half_close(Way.DOWN)


def slow(arena: Arena) -> None:
    arena.redis_proxy.delay(up_s=0.3, down_s=0.3)


def healed(arena: Arena) -> None:
    os.kill(arena.valkey.pid or 0, signal.SIGCONT)
    arena.redis_proxy.delay()
    arena.redis_proxy.pass_through()


@pytest.mark.parametrize("fault", [frozen, black_holed, reset, half_closed, slow],
                         ids=lambda fault: fault.__name__)  # fmt: skip
def test_with_a_redis_that_is_there_and_of_no_use_jobs_are_accepted_and_run(
    fault: Fault, arena: Arena, rng: random.Random
) -> None:
    ids = arena.submit(rng, 8)
    fault(arena)
    try:
        with arena.history.away(Server.REDIS):
            ids += arena.submit(rng, 12, longest=20)
            assert arena.stack.http.get("/health/ready", timeout=5).status_code == 200
            arena.succeed(ids)
    finally:
        healed(arena)


def test_connections_to_redis_are_killed_again_and_again_under_load(
    arena: Arena, rng: random.Random
) -> None:
    ids: list[str] = []
    with Redis.from_url(arena.valkey.url) as redis:
        for _ in range(8):
            ids += arena.submit(rng, 8)
            redis.client_kill_filter(_type="pubsub")
            redis.client_kill_filter(_type="normal", skipme=True)
    arena.succeed(ids)
    assert max(job["attempt"] for id in ids if (job := arena.client.get(id))) == 1


def test_after_all_that_bells_are_heard_again(arena: Arena) -> None:
    eventually(lambda: all(bells_are_heard(arena) for _ in range(5)), within_s=20)


def test_a_process_starts_serves_and_leaves_within_its_bound_without_redis(
    arena: Arena, rng: random.Random
) -> None:
    with no_redis(arena), arena.workers("worker.3"):
        arena.succeed(arena.submit(rng, 4))
        began = time.monotonic()
        arena.stack.stop("worker.3")
        assert time.monotonic() - began < 3 + 1.5 + 5  # drain, last words, a slow machine


def test_without_postgres_nothing_is_accepted_and_what_was_accepted_is_finished_later(
    arena: Arena,
) -> None:
    ids = [arena.client.submit(f"{number}" * SPEED) for number in range(8)]
    eventually(lambda: len(arena.running()) == 8, within_s=10)
    with no_postgres(arena):
        for _ in range(3):
            refused = arena.client.try_submit("no")
            assert refused is not None and refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.json()["error"]["code"] == "database_unavailable"
        assert arena.stack.http.get(f"/v1/jobs/{ids[0]}").status_code == 503
        ready = arena.stack.http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"] == "unavailable"
        assert "Retry-After" in ready.headers
        assert arena.stack.http.get("/health/live", timeout=5).status_code == 200
    arena.client.submit("again")
    arena.succeed(ids)


def test_a_postgres_that_restarts_in_every_phase_of_many_jobs_loses_none(
    arena: Arena, rng: random.Random
) -> None:
    """Submits, cancels and polls go on meanwhile."""
    over = threading.Event()
    ids: list[str] = []

    def load() -> None:
        while not over.is_set():
            id = arena.client.submit("p" * rng.randrange(1, 60))
            ids.append(id)
            if rng.random() < 0.2:
                arena.client.cancel(id)
            arena.client.get(id)

    loads = [threading.Thread(target=load) for _ in range(3)]
    for thread in loads:
        thread.start()
    try:
        for number in range(4):
            enough = len(ids) + 20
            eventually(lambda: len(ids) >= enough, within_s=20)  # noqa: B023 - called at once
            with no_postgres(arena, killed=bool(number % 2)):
                pass
    finally:
        over.set()
        for thread in loads:
            thread.join(timeout=60)
    assert {arena.client.ended(id)["status"] for id in ids} <= {"succeeded", "cancelled"}
    assert arena.history.entries(Kind.CANCEL)


def make_read_only(arena: Arena, *, really: bool) -> None:
    """As a server is after a failover, for all connections but this one."""
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    arena.engine.dispose()  # its idle connections were cut the last time
    with arena.engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.commit()
        name = connection.scalar(text("SELECT current_database()"))
        setting = "on" if really else "off"
        alter = f"ALTER DATABASE {name} SET default_transaction_read_only = {setting}"
        connection.execute(text(alter))
        connection.commit()
        connection.execute(text(f"{cut} AND datname = current_database()"))
        connection.invalidate()


def test_a_read_only_postgres_is_as_good_as_none(arena: Arena) -> None:
    id = arena.client.submit("r" * SPEED)
    eventually(arena.running, within_s=10)
    make_read_only(arena, really=True)
    try:
        with arena.history.away(Server.POSTGRES):
            refused = arena.client.try_submit("no")
            assert refused is not None and refused.status_code == 503
            assert refused.json()["error"]["code"] == "database_unavailable"
            # No lease can be renewed and all run out: every loop has met the fault by then.
            listed = "/v1/workers"
            eventually(lambda: not arena.stack.http.get(listed).json()["data"], within_s=10)
    finally:
        make_read_only(arena, really=False)
    arena.succeed([id, arena.client.submit("writable again")])


def test_no_process_log_shows_a_prompt_a_password_or_a_traceback(arena: Arena) -> None:
    arena.other.result(arena.other.submit(CANARY))
    for name in ("web", "dispatcher", "dispatcher.2", "housekeeper", "worker", "worker.2"):
        log = arena.stack.log(name)
        assert arena.postgres.password not in log
        assert arena.valkey.password not in log
        if not name.startswith("worker"):
            assert "Traceback" not in log
