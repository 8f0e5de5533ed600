"""What can happen to the world, and which of it will, drawn from a seed."""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.chaos.history import Server
from tests.chaos.long_run.world import DISPATCHERS, WORKERS, World

# Where a worker, a dispatcher or web dies in mid-act, by names of `jobs.failpoints`.
_WORKER_POINTS = ("worker.rung", "worker.claimed", "worker.decoding", "worker.finishing",
                  "worker.finished", "worker.renewing")  # fmt: skip
_DISPATCHER_POINTS = ("dispatcher.releasing", "dispatcher.released", "dispatcher.ringing",
                      "dispatcher.reaping")  # fmt: skip
_WEB_POINTS = ("web.submitting", "web.submitted")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens: to whom, for how long, and how long after the
    last one was over. `point` is a failpoint for the kinds that take one."""

    kind: str
    target: str
    hold_s: float
    pause_s: float
    point: str = ""

    def __str__(self) -> str:
        for_whom = f" {self.target}" if self.target else ""
        where = f" at {self.point}" if self.point else ""
        how_long = f", {self.hold_s:.1f} s" if self.hold_s else ""
        return f"{self.kind}{for_whom}{where}{how_long}"


Act = Callable[[World, Fault, threading.Event], None]


def _kill_worker(world: World, fault: Fault, _: threading.Event) -> None:
    world.kill_child(fault.target)
    world.wait_ready(fault.target)


def _kill_worker_and_parent(world: World, fault: Fault, stopping: threading.Event) -> None:
    world.kill_tree(fault.target)
    stopping.wait(fault.hold_s)
    world.start_worker(fault.target)
    world.wait_ready(fault.target)


def _freeze_worker(world: World, fault: Fault, stopping: threading.Event) -> None:
    child = world.child(fault.target)
    if child is None:
        return
    os.kill(child, signal.SIGSTOP)
    try:
        stopping.wait(fault.hold_s)
    finally:
        os.kill(child, signal.SIGCONT)
    world.wait_ready(fault.target)


def _drain_worker(world: World, fault: Fault, _: threading.Event) -> None:
    world.stack.stop(fault.target)
    world.start_worker(fault.target)
    world.wait_ready(fault.target)


def _worker_dies_at(world: World, fault: Fault, stopping: threading.Event) -> None:
    world.stack.stop(fault.target)
    world.start_worker(fault.target, LMAAS_FAILPOINTS=fault.point)
    stopping.wait(fault.hold_s)
    world.kill_tree(fault.target)
    world.start_worker(fault.target)
    world.wait_ready(fault.target)


def _kill_dispatcher(world: World, fault: Fault, stopping: threading.Event) -> None:
    world.kill_tree(fault.target)
    stopping.wait(fault.hold_s)
    world.stack.start(fault.target)


def _dispatcher_dies_at(world: World, fault: Fault, stopping: threading.Event) -> None:
    world.kill_tree(fault.target)
    world.stack.start(fault.target, LMAAS_FAILPOINTS=fault.point)
    stopping.wait(fault.hold_s)
    world.kill_tree(fault.target)
    world.stack.start(fault.target)


def _kill_web(world: World, fault: Fault, stopping: threading.Event) -> None:
    with world.door:
        world.kill_tree("web")
        stopping.wait(fault.hold_s)
        world.stack.start("web")
        world.wait_door()


def _web_dies_at(world: World, fault: Fault, stopping: threading.Event) -> None:
    with world.door:
        world.kill_tree("web")
        world.stack.start("web", LMAAS_FAILPOINTS=fault.point)
        stopping.wait(fault.hold_s)
        world.kill_tree("web")
        world.stack.start("web")
        world.wait_door()


def _worker_without_postgres(world: World, fault: Fault, stopping: threading.Event) -> None:
    if fault.kind == "Postgres black hole for":
        world.postgres_proxy.black_hole()
    else:
        world.postgres_proxy.reset()
    try:
        stopping.wait(fault.hold_s)
    finally:
        world.postgres_proxy.pass_through()
    world.wait_ready(fault.target)


def _flush_redis(world: World, _: Fault, __: threading.Event) -> None:
    with world.redis() as redis:
        redis.flushall()


def _cut_redis(world: World, _: Fault, __: threading.Event) -> None:
    world.redis_proxy.cut()


@contextmanager
def _without_redis(world: World) -> Iterator[None]:
    with world.door, world.away(Server.REDIS):
        yield


def _kill_redis(world: World, fault: Fault, stopping: threading.Event) -> None:
    world.valkey.kill()
    with _without_redis(world):
        stopping.wait(fault.hold_s)
    world.valkey.wipe()
    world.valkey.start()


def _freeze_redis(world: World, fault: Fault, stopping: threading.Event) -> None:
    pid = world.valkey.pid
    if pid is None:
        return
    os.kill(pid, signal.SIGSTOP)
    try:
        with _without_redis(world):
            stopping.wait(fault.hold_s)
    finally:
        os.kill(pid, signal.SIGCONT)


def _trouble_redis(world: World, fault: Fault, stopping: threading.Event) -> None:
    modes = {
        "Redis black hole": world.redis_proxy.black_hole,
        "Redis reset": world.redis_proxy.reset,
    }
    modes[fault.kind]()
    try:
        with _without_redis(world):
            stopping.wait(fault.hold_s)
    finally:
        world.redis_proxy.pass_through()


def _delay_redis(world: World, fault: Fault, stopping: threading.Event) -> None:
    world.redis_proxy.delay(up_s=0.3, down_s=0.3)
    stopping.wait(fault.hold_s)
    world.redis_proxy.delay()


def _restart_postgres(world: World, fault: Fault, stopping: threading.Event) -> None:
    # The lock first: it is away for certain only while somebody is at the door.
    with world.door:
        if fault.kind == "Postgres SIGKILL":
            world.postgres.kill()
        else:
            world.postgres.stop()
        with world.away(Server.POSTGRES):
            stopping.wait(fault.hold_s)
        world.postgres.start()


@dataclass(frozen=True, slots=True)
class Kind:
    """How a fault is drawn and done. `hold_s` bounds how long it lasts."""

    name: str
    act: Act
    targets: tuple[str, ...] = ("",)
    hold_s: tuple[float, float] = (0, 0)
    points: tuple[str, ...] = ()


# To processes: one after another, so that of two workers one always works.
PROCESSES = (
    Kind("SIGKILL", _kill_worker, WORKERS),
    Kind("SIGKILL with its parent", _kill_worker_and_parent, WORKERS, (0, 4)),
    Kind("SIGSTOP longer than its lease", _freeze_worker, WORKERS, (2.5, 5)),
    Kind("SIGTERM", _drain_worker, WORKERS),
    Kind("death", _worker_dies_at, WORKERS, (5, 9), _WORKER_POINTS),
    Kind("SIGKILL of", _kill_dispatcher, DISPATCHERS, (0, 3)),
    Kind("death of", _dispatcher_dies_at, DISPATCHERS, (3, 5), _DISPATCHER_POINTS),
    Kind("SIGKILL, the door", _kill_web, ("web",), (0, 2)),
    Kind("death, the door", _web_dies_at, ("web",), (3, 5), _WEB_POINTS),
    Kind("Postgres black hole for", _worker_without_postgres, WORKERS[-1:], (1, 6)),
    Kind("Postgres reset for", _worker_without_postgres, WORKERS[-1:], (1, 4)),
)

# To servers: in a row of their own beside the first.
SERVERS = (
    Kind("Redis FLUSHALL", _flush_redis),
    Kind("Redis connections cut", _cut_redis),
    Kind("Redis SIGKILL, back empty", _kill_redis, hold_s=(0.5, 5)),
    Kind("Redis SIGSTOP", _freeze_redis, hold_s=(1, 6)),
    Kind("Redis black hole", _trouble_redis, hold_s=(1, 6)),
    Kind("Redis reset", _trouble_redis, hold_s=(1, 5)),
    Kind("Redis delay", _delay_redis, hold_s=(2, 6)),
    Kind("Postgres restart", _restart_postgres, hold_s=(0, 3)),
    Kind("Postgres SIGKILL", _restart_postgres, hold_s=(0, 2)),
)

ACTS = {kind.name: kind.act for kind in (*PROCESSES, *SERVERS)}


def draw(kinds: tuple[Kind, ...], seed: str, *, pause_s: tuple[float, float]) -> Iterator[Fault]:
    """Faults without end; the same ones for the same seed."""
    chance = random.Random(seed)
    while True:
        kind = chance.choice(kinds)
        point = f"{chance.choice(kind.points)}=kill@{chance.randint(1, 8)}" if kind.points else ""
        yield Fault(
            kind.name,
            chance.choice(kind.targets),
            chance.uniform(*kind.hold_s),
            chance.uniform(*pause_s),
            point,
        )
