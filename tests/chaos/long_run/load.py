"""Clients that submit, poll and cancel for as long as a run lasts."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobs.states import TERMINAL
from tests.chaos.client import LoggedClient
from tests.conditions import eventually

# What an honest job may need at worst: faults all the time, attempts over and over.
ENDS_WITHIN_S = 150.0


@dataclass(frozen=True, slots=True)
class Work:
    """What clients ask for: the output's length between two bounds, the share of
    jobs that is cancelled, what a submit says beside its prompt, and how many
    short jobs a second are submitted beside by somebody who waits for nothing:
    so that at every moment of every fault somebody is at the door."""

    lengths: tuple[int, int]
    cancels: float = 0.15
    knocks_per_s: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)


class Load:
    """`clients` threads, each with one job at a time, from several tenants.
    `jobs` bounds how many they submit together; without it they go on until
    `stopping`. What goes wrong in one is kept in `failures`."""

    def __init__(
        self,
        clients: dict[str, LoggedClient],
        canaries: dict[str, str],
        work: Work,
        *,
        threads: int,
        seed: str,
        jobs: int | None,
    ) -> None:
        self._clients = clients
        self._canaries = canaries
        self._work = work
        self._jobs = jobs
        self._seed = seed
        self._begun = 0
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self.ended = 0
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"client-{number}")
            for number in range(threads)
        ]
        if work.knocks_per_s:
            self._threads.append(threading.Thread(target=self._knock, name="knocker"))

    def start(self) -> None:
        """All at once."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Waits until each has seen the end of its last job."""
        for thread in self._threads:
            thread.join()

    def _next(self) -> int | None:
        with self._lock:
            if self.stopping.is_set() or self._begun == self._jobs:
                return None
            self._begun += 1
            return self._begun

    def _run(self, number: int) -> None:
        tenants = sorted(self._clients)
        tenant = tenants[number % len(tenants)]
        chance = random.Random(f"{self._seed} client {number}")
        while (job := self._next()) is not None:
            try:
                self._one(tenant, chance, job)
            except AssertionError as error:
                self.failures.append(f"client {number}: {error}")
                return
            with self._lock:
                self.ended += 1

    def _knock(self) -> None:
        """One attempt each; what was accepted is looked for in the end."""
        tenant = min(self._clients)
        client, ids = self._clients[tenant], []
        number = 0
        while not self.stopping.wait(1 / self._work.knocks_per_s):
            number += 1
            answer = client.try_submit(f"{self._canaries[tenant]} knock {number}", **self._more())
            if answer is not None and answer.status_code == 202:
                ids.append(str(answer.json()["id"]))
        try:
            for id in ids:
                eventually(_has_ended(client, id), within_s=ENDS_WITHIN_S, what=f"{id} has ended")
        except AssertionError as error:
            self.failures.append(f"knocker: {error}")
        self.ended += len(ids)

    def _more(self) -> dict[str, Any]:
        return dict(self._work.more)

    def _one(self, tenant: str, chance: random.Random, number: int) -> None:
        client = self._clients[tenant]
        words = f"{self._canaries[tenant]} {number} "
        length = chance.randint(*self._work.lengths)
        prompt = (words * (length // len(words) + 1))[:length]
        id = client.submit(prompt, within_s=ENDS_WITHIN_S, **self._more())
        if chance.random() < self._work.cancels:
            self.stopping.wait(chance.uniform(0, 1.5))
            # Acknowledged or over: until the door says one of the two.
            eventually(lambda: client.cancel(id), within_s=60, what=f"a cancel of {id} is answered")
        eventually(_has_ended(client, id), within_s=ENDS_WITHIN_S, what=f"job {id} has ended")


def _has_ended(client: LoggedClient, id: str) -> Callable[[], bool]:
    def look() -> bool:
        job = client.get(id, wait_s=2)
        return job is not None and job["status"] in TERMINAL

    return look
