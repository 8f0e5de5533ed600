"""Front door and dispatchers die at exact lines: nothing is lost, nothing doubled."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx

from lmaas.local import ports
from tests.chaos.arena import Arena
from tests.chaos.client import LoggedClient
from tests.conditions import eventually


@contextmanager
def armed_door(arena: Arena, name: str, point: str) -> Iterator[LoggedClient]:
    """A front door of its own port whose processes die at a point, again and again."""
    port = ports.choose()
    arena.stack.start(name, LMAAS_WEB_PORT=str(port), LMAAS_FAILPOINTS=f"{point}=kill@2")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers=arena.stack.http.headers,
        timeout=20,
        trust_env=False,
    ) as http:
        yield LoggedClient(http, arena.history)
    assert f"failpoint {point}: kill" in arena.stack.log(name)
    arena.stack.stop(name)


def test_a_web_process_killed_around_commit_loses_and_doubles_no_job(
    arena: Arena, rng: random.Random
) -> None:
    with (
        armed_door(arena, "web.before", "web.submitting") as before,
        armed_door(arena, "web.after", "web.submitted") as after,
    ):
        ids = [door.submit(f"job {n}") for n in range(3) for door in (before, after)]
    assert len(set(ids)) == 6
    arena.succeed(ids)


def test_dispatchers_killed_between_release_commit_and_ring_strand_no_job(
    arena: Arena, rng: random.Random
) -> None:
    points = {
        "dispatcher.a": "dispatcher.releasing=kill@3",
        "dispatcher.b": "dispatcher.released=kill@1",
        "dispatcher.c": "dispatcher.ringing=kill@1",
        "dispatcher.d": "dispatcher.reaping=kill@3",
    }
    for name, point in points.items():
        arena.stack.start(name, LMAAS_FAILPOINTS=point)
    ids: list[str] = []

    def all_died() -> bool:
        ids.extend(arena.submit(rng, 1))
        return all(arena.stack.has_ended(name) for name in points)

    eventually(all_died, within_s=30, what="four dispatchers died at their points")
    for name, point in points.items():
        assert f"failpoint {point.partition('=')[0]}: kill" in arena.stack.log(name)
        arena.stack.forget(name)
    arena.succeed(ids)


def test_two_dispatchers_and_two_workers_run_every_job_once(
    arena: Arena, rng: random.Random
) -> None:
    before = arena.judge()
    arena.succeed(arena.submit(rng, 200, longest=20))
    assert arena.judge().recovered == before.recovered
