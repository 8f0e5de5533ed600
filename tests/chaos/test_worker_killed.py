"""Workers die, sleep, hang or leave at every point of a job: each job ends once."""

import os
import random
import signal
from collections.abc import Callable
from uuid import UUID

import psutil
import pytest
from sqlalchemy import text

from jobs.database import run
from jobs.states import State
from tests.chaos.arena import SOLO, SPEED, Arena
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.ledger import Incarnation, Job, read_ledger
from tests.conditions import eventually


def until(arena: Arena, rng: random.Random, happened: Callable[[], bool], what: str) -> list[str]:
    """Submits a few jobs again and again until something has happened. The first
    of them is waited for: workers that are always busy are rung no bells."""
    ids: list[str] = []

    def look() -> bool:
        few = arena.submit(rng, 4, longest=60)
        arena.client.ended(few[0])
        ids.extend(few)
        return happened()

    eventually(look, within_s=60, what=what)
    return ids


def is_stopped(pid: int | None) -> bool:
    return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED


def jobs_of(arena: Arena, ids: list[str]) -> list[Job]:
    ledger = read_ledger(arena.engine)
    return [ledger.jobs[UUID(id)] for id in ids]


def of_pid(arena: Arena, pid: int | None) -> list[Incarnation]:
    """The incarnations of a process, oldest first."""
    return [worker for worker in read_ledger(arena.engine).workers.values() if worker.pid == pid]


@pytest.mark.parametrize(
    "points",
    [
        {"rung": "worker.rung=kill@1", "claimed": "worker.claimed=kill@1"},
        {"decoding": "worker.decoding=kill@9", "finishing": "worker.finishing=kill@1"},
        {"finished": "worker.finished=kill@1", "claiming": "worker.claiming=kill@2"},
    ],
    ids=" ".join,
)
def test_workers_killed_at_exact_lines(
    points: dict[str, str], arena: Arena, rng: random.Random
) -> None:
    with arena.armed(points) as names:
        ids = until(arena, rng, lambda: not any(map(arena.child, names)), "both workers died")
        arena.succeed(ids)
        for name, point in zip(names, points.values(), strict=True):
            assert f"failpoint {point.partition('=')[0]}: kill" in arena.stack.log(name)


def test_a_worker_killed_while_it_waits_for_bells_takes_none_along(
    arena: Arena, rng: random.Random
) -> None:
    """Redis hands the next bells to a listener that is stopped; they are lost with it."""
    with arena.armed({"idle": ""}) as [name]:
        pid = arena.child(name)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        ids = arena.submit(rng, 12, longest=10)
        os.kill(pid, signal.SIGKILL)
        arena.succeed(ids)


def test_every_job_of_a_killed_child_ends_once_long_before_its_lease(
    arena: Arena, rng: random.Random
) -> None:
    given = {"LMAAS_LEASE_S": "60", "LMAAS_HEARTBEAT_S": "10", "LMAAS_RESTART_PAUSE_S": "0.05"}
    with arena.workers("worker.long", LMAAS_MODEL=SOLO, **given):
        ids = [arena.client.submit("k" * (SPEED // 2), model=SOLO) for _ in range(12)]
        victim = arena.child("worker.long")
        eventually(lambda: len(arena.running(worker_pid=victim)) == 8, within_s=10)
        os.kill(victim or 0, signal.SIGKILL)
        arena.succeed(ids)
        jobs = jobs_of(arena, ids)
        assert [(job.attempt, job.crashes) for job in jobs[:8]] == [(2, 0)] * 8
        assert [(job.attempt, job.crashes) for job in jobs[8:]] == [(1, 0)] * 4
        [killed] = of_pid(arena, victim)
        assert killed.ended_at is not None
        assert killed.ended_at < killed.lease_until  # by its parent, not by the clock


def test_a_killed_parent_takes_its_child_along_and_jobs_are_not_charged(
    arena: Arena, rng: random.Random
) -> None:
    arena.stack.start("worker.orphan", LMAAS_MODEL=SOLO, LMAAS_DRAIN_S="0.5")
    arena.wait_ready("worker.orphan")
    orphan = arena.child("worker.orphan")
    ids = [arena.client.submit("p" * 3 * SPEED, model=SOLO), arena.client.submit("q", model=SOLO)]
    eventually(lambda: UUID(ids[0]) in arena.running(worker_pid=orphan), within_s=10)
    arena.stack.kill("worker.orphan")
    eventually(lambda: not psutil.pid_exists(orphan or 0), within_s=15)
    [job, _] = jobs_of(arena, ids)
    assert (job.state, job.crashes) == (State.QUEUED, 0)
    with arena.workers("worker.heir", LMAAS_MODEL=SOLO, LMAAS_ECHO_TOKENS_PER_S="0"):
        arena.succeed(ids)


def test_workers_that_slept_longer_than_their_lease_write_nothing(
    arena: Arena, rng: random.Random
) -> None:
    """One stops between two steps, one with its results on the way to Postgres."""
    before = arena.judge()
    points = {"sleepy": "worker.decoding=stop@9", "late": "worker.finishing=stop@1"}
    with arena.armed(points) as names:
        pids = [arena.child(name) for name in names]
        ids = until(arena, rng, lambda: all(map(is_stopped, pids)), "both workers stopped")
        try:
            arena.succeed(ids)
            ended = jobs_of(arena, ids)
            # All that one of them holds may be a job of the other tenant.
            eventually(lambda: all(of_pid(arena, pid)[-1].ended_at for pid in pids))
        finally:
            for pid in pids:
                os.kill(pid or 0, signal.SIGCONT)
        # Both come back under new leases, with the model still loaded, and tell
        # of the writes that the fence refused.
        eventually(lambda: all(len(of_pid(arena, pid)) > 1 for pid in pids), within_s=10)
        eventually(lambda: arena.judge().stale_rejected > before.stale_rejected, within_s=10)
        assert jobs_of(arena, ids) == ended
        assert {(job.state, job.crashes) for job in ended} == {(State.SUCCEEDED, 0)}
    verdict = arena.judge()
    assert verdict.recovered > before.recovered
    assert verdict.stale_accepted == 0


def test_a_worker_whose_postgres_is_a_black_hole_fences_itself(
    arena: Arena, rng: random.Random
) -> None:
    with (
        FaultProxy(arena.postgres.url) as proxy,
        arena.workers("worker.far", DATABASE_URL=proxy.url),
    ):
        pid = arena.child("worker.far")

        def is_at_work() -> bool:
            return bool(arena.running(worker_pid=pid))

        ids = until(arena, rng, is_at_work, "the far worker is at work")
        proxy.black_hole()
        eventually(lambda: "could not be renewed" in arena.stack.log("worker.far"), within_s=10)
        arena.succeed(ids)
        proxy.pass_through()
        eventually(lambda: len(of_pid(arena, pid)) > 1, within_s=15)
        # Late is as bad as never: a heartbeat that arrives after the lease is none.
        leases = len(of_pid(arena, pid))
        ids = until(arena, rng, is_at_work, "the far worker is at work again")
        proxy.delay(up_s=2.8)
        # Its jobs may end before that: the delay stays until a heartbeat was late.
        said = "could not be renewed"
        eventually(lambda: arena.stack.log("worker.far").count(said) >= 2, within_s=15)
        arena.succeed(ids)
        proxy.delay()
        eventually(lambda: len(of_pid(arena, pid)) > leases, within_s=20)


def test_an_engine_that_hangs_or_breaks_ends_its_process_and_no_job(
    arena: Arena, rng: random.Random
) -> None:
    points = {"hung": "worker.decoding=hang@9", "broken": "worker.decoding=error@9"}
    with arena.armed(points, LMAAS_STEP_S="0.5") as names:
        ids = until(arena, rng, lambda: not any(map(arena.child, names)), "both workers ended")
        arena.succeed(ids)
        assert "the engine hangs" in arena.stack.log(names[0])
        assert "the engine failed" in arena.stack.log(names[1])


def test_an_engine_without_memory_ends_its_process_and_no_job(
    arena: Arena, rng: random.Random
) -> None:
    """The limit is the kernel's and the failed allocation a real one."""
    with arena.armed({"starved": "worker.decoding=starve@9"}) as [name]:
        ids = until(arena, rng, lambda: arena.child(name) is None, "the worker ended")
        arena.succeed(ids)
        assert "MemoryError" in arena.stack.log(name)


def test_a_drain_finishes_what_it_can_and_gives_the_rest_back_uncharged(
    arena: Arena, rng: random.Random
) -> None:
    with arena.workers("worker.leaving", LMAAS_MODEL=SOLO, LMAAS_DRAIN_S="1"):
        long = [arena.client.submit("l" * 5 * SPEED, model=SOLO) for _ in range(3)]
        short = [arena.client.submit("s" * (SPEED // 2), model=SOLO) for _ in range(3)]
        eventually(lambda: {UUID(id) for id in long + short} <= arena.running(), within_s=10)
        arena.stack.stop("worker.leaving")
    assert {(job.state, job.attempt) for job in jobs_of(arena, short)} == {(State.SUCCEEDED, 1)}
    assert {(job.state, job.crashes) for job in jobs_of(arena, long)} == {(State.QUEUED, 0)}
    ended = text("SELECT ended_at FROM workers ORDER BY started_at DESC LIMIT 1")
    assert run(arena.engine, ended, {})[0].ended_at is not None
    with arena.workers("worker.next", LMAAS_MODEL=SOLO, LMAAS_ECHO_TOKENS_PER_S="0"):
        arena.succeed(long)
    assert {(job.attempt, job.crashes) for job in jobs_of(arena, long)} == {(2, 0)}
