"""One long run: a world, clients, and rows of faults beside each other."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.long_run.faults import ACTS, PROCESSES, SERVERS, Fault, Kind, draw
from tests.chaos.long_run.load import Load, Work
from tests.chaos.long_run.world import TENANTS, WORKERS, Site, World

# How long a row of faults may need to undo its last one.
_UNDONE_WITHIN_S = 120.0


@dataclass(slots=True)
class Run:
    """One run under way, and the faults so far. `broken` are faults that could
    not be done or undone: then the world did not come back by itself."""

    world: World
    load: Load
    canaries: dict[str, str]
    began: float = field(default_factory=time.monotonic)
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def do(self, fault: Fault) -> None:
        """Lets a fault happen, and says so."""
        self.say(str(fault))
        self.faults[fault.kind] += 1
        ACTS[fault.kind](self.world, fault, self.load.stopping)

    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        """A line with the run's own time."""
        # In one write: several rows of faults speak at once.
        print(f"{self.seconds():7.1f} s  {text}\n", end="", flush=True)


Lane = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of. It is over after `duration_s`, or with `jobs` when
    that many have ended. `exact`: the engine answers with the prompt, so that
    the checker can compare every text."""

    name: str
    site: Site
    work: Work
    lanes: tuple[Lane, ...]
    clients: int
    duration_s: float
    jobs: int | None = None
    exact: bool = True


def by_schedule(kinds: tuple[Kind, ...], name: str, seed: int) -> Lane:
    """Faults drawn from the seed, one after another."""

    def lane(run: Run) -> None:
        for fault in draw(kinds, f"{seed} {name}", pause_s=(0.5, 4)):
            if run.load.stopping.wait(fault.pause_s):
                return
            run.do(fault)

    return lane


def every(seconds: float, make: Callable[[random.Random], Fault], seed: int) -> Lane:
    """One fault every so many seconds, or as soon as the last one is over."""

    def lane(run: Run) -> None:
        chance = random.Random(f"{seed} every {seconds}")
        due = run.began + seconds
        while not run.load.stopping.wait(due - time.monotonic()):
            run.do(make(chance))
            due = max(due + seconds, time.monotonic())

    return lane


def both_schedules(seed: int) -> tuple[Lane, ...]:
    """Processes in one row, servers in another."""
    return by_schedule(PROCESSES, "processes", seed), by_schedule(SERVERS, "servers", seed)


def kill_of_one(chance: random.Random) -> Fault:
    """SIGKILL for one of the workers, with or without its parent."""
    kind = chance.choice(("SIGKILL", "SIGKILL", "SIGKILL with its parent"))
    return Fault(kind, chance.choice(WORKERS), 0.0, 0.0)


def flush(_: random.Random) -> Fault:
    """FLUSHALL."""
    return Fault("Redis FLUSHALL", "", 0.0, 0.0)


def restart(_: random.Random) -> Fault:
    """A restart of Postgres."""
    return Fault("Postgres restart", "", 0.0, 0.0)


def away_for_minutes(_: random.Random) -> Fault:
    """A Redis that is gone for two minutes and comes back empty."""
    return Fault("Redis SIGKILL, back empty", "", 120.0, 0.0)


def conduct(plan: Plan, folder: Path, seed: int, judge: Callable[[Run], int]) -> int:
    """Runs it, and returns what `judge` says of it once it has come to rest."""
    world = World(folder, plan.site)
    closed = threading.Event()
    threads: list[threading.Thread] = []
    try:
        world.start()
        canaries = {tenant: f"canary-{seed}-{tenant}" for tenant in TENANTS}
        clients = {tenant: world.client(tenant) for tenant in TENANTS}
        load = Load(clients, canaries, plan.work, threads=plan.clients, seed=str(seed),
                    jobs=plan.jobs)  # fmt: skip
        run = Run(world, load, canaries)
        load.start()
        rows = [_Row(run, lane, closed) for lane in plan.lanes]
        threads += [row.thread for row in rows]
        _wait(run, plan)
        for row in rows:
            if not row.over.wait(timeout=_UNDONE_WITHIN_S):
                run.broken.append("a row of faults does not end")
        load.join()
        run.say("no more faults; all clients have seen the end of their jobs")
        return judge(run)
    finally:
        world.close()
        closed.set()
        for thread in threads:
            thread.join()


class _Row:
    """A thread that lets faults happen. It lives until the world is closed: the
    kernel ends the processes that a thread started when that thread ends."""

    def __init__(self, run: Run, lane: Lane, closed: threading.Event) -> None:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._body, args=(run, lane, closed), daemon=True)
        self.thread.start()

    def _body(self, run: Run, lane: Lane, closed: threading.Event) -> None:
        try:
            lane(run)
        except BaseException as error:
            run.broken.append(f"a fault could not be done or undone: {error!r}")
            run.load.stopping.set()
            raise
        finally:
            self.over.set()
            closed.wait()


def _wait(run: Run, plan: Plan) -> None:
    """Until the run's time is over or all its jobs have ended."""
    if plan.jobs is None:
        run.load.stopping.wait(plan.duration_s)
    else:
        run.load.join()
    run.load.stopping.set()
