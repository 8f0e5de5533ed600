"""A client's cancel against its worker's success, in the same moment, many times.

Each race has three sides: the cancel, the success of the worker that holds the
job, and the success of a worker that lost it before. `make races` runs 10,000
of them (RACES) and prints what came of it.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from jobs import leases
from jobs.envelopes import ClaimedJob
from jobs.states import State
from jobs.task_manager import TaskManager
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_worker,
    release_all,
    submitted,
    success,
)
from tests.invariants import check_all_ended

RACES = int(os.environ.get("RACES", "300"))
_LANES = 4
_BATCH = 500
# How much earlier one of the sides may set off: about what a statement takes.
_HEAD_START_S = 0.001


@dataclass(frozen=True, slots=True)
class Race:
    """One job that a worker holds for the second time it runs, and what came
    of the three sides: answers as the Task Manager gave them."""

    job: ClaimedJob
    cancel: str | None
    finish: dict[UUID, State]
    stale: dict[UUID, State]


class Lane:
    """Three threads that set off together, race after race."""

    def __init__(self, manager: TaskManager, tenant_id: UUID, seed: int) -> None:
        self._manager = manager
        self._tenant_id = tenant_id
        self._chance = random.Random(seed)
        self.races: list[Race] = []

    def run(self, old: UUID, new: UUID, jobs: list[ClaimedJob]) -> None:
        """Races each job: `new` holds it, `old` lost it."""
        gate = threading.Barrier(3)
        heads = [[self._chance.uniform(0, _HEAD_START_S) for _ in range(3)] for _ in jobs]
        told: list[list[object]] = [[None] * len(jobs) for _ in range(3)]

        def side(number: int, act: Callable[[ClaimedJob], object]) -> None:
            for index, job in enumerate(jobs):
                gate.wait(timeout=60)
                go = time.perf_counter() + heads[index][number]
                while time.perf_counter() < go:
                    pass
                told[number][index] = act(job)

        acts: list[Callable[[ClaimedJob], object]] = [
            lambda job: self._manager.cancel(self._tenant_id, job.id),
            lambda job: self._manager.finish(new, [success(job)]),
            lambda job: self._manager.finish(old, [success(lost(job), "stale")]),
        ]
        threads = [threading.Thread(target=side, args=(n, act)) for n, act in enumerate(acts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.races += [Race(job, *answers) for job, *answers in zip(jobs, *told, strict=True)]


def lost(job: ClaimedJob) -> ClaimedJob:
    """The attempt before, as its worker still believes to hold it."""
    return ClaimedJob(job.id, job.tenant_id, job.task, job.attempt - 1, job.input, job.parameters)


def held_again(
    manager: TaskManager, engine: Engine, tenant_id: UUID, count: int
) -> tuple[UUID, UUID, list[ClaimedJob]]:
    """Jobs that a worker lost and another one holds: both, and the jobs."""
    old, new = a_worker(engine), a_worker(engine)
    submitted(manager, tenant_id, count)
    release_all(manager)
    assert len(manager.claim(old, MODEL, VERSION, count)) == count
    leases.end(engine, old)
    while manager.reclaim():
        pass
    release_all(manager)
    jobs = manager.claim(new, MODEL, VERSION, count)
    assert [job.attempt for job in jobs] == [2] * count
    return old, new, jobs


def race_all(
    manager: TaskManager, engine: Engine, tenant_id: UUID, count: int, seed: int
) -> list[Race]:
    """That many races, some side by side."""
    lanes = [Lane(manager, tenant_id, seed + number) for number in range(_LANES)]
    for begin in range(0, count, _BATCH):
        old, new, jobs = held_again(manager, engine, tenant_id, min(_BATCH, count - begin))
        threads = [
            threading.Thread(target=lane.run, args=(old, new, jobs[number::_LANES]))
            for number, lane in enumerate(lanes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [race for lane in lanes for race in lane.races]


def test_an_acknowledged_cancel_never_becomes_a_success(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    races = race_all(manager, engine, tenant_id, RACES, seed)
    assert len(races) == RACES
    ledger = check_all_ended(engine)  # one end each, one result for each success
    written = Counter(result.job_id for result in ledger.results)
    counts: Counter[str] = Counter()
    for race in races:
        row, told = ledger.jobs[race.job.id], ledger.states(race.job.id)
        expected = State.CANCELLED if race.cancel else State.SUCCEEDED
        assert row.state == expected, (seed, race, told)
        assert race.finish == {race.job.id: expected}, (seed, race)
        assert race.stale == {}, (seed, race)
        assert written[race.job.id] == 1, (seed, race)
        counts[expected.value] += 1
        counts["cancels refused"] += race.cancel is None
        counts["stale writes refused"] += race.stale == {}
    told_counts = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    print(f"\n{RACES} races (seed {seed}): {told_counts}; 0 acknowledged cancels became a success")
    # Both ways must have happened, or nothing was raced.
    assert counts["cancelled"] > RACES / 50
    assert counts["succeeded"] > RACES / 50
