"""A whole LMaaS on servers of its own that may be killed, for all faults in turn.

Two workers host `echo` all the time; tests bring armed ones beside them, or
workers for `solo`, which nobody else hosts. Everybody reaches Redis through
a fault proxy. The clients' history goes on over all tests, and after each of
them the checker judges everything since the beginning.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2 as httpx
import psutil
from redis import Redis
from sqlalchemy import Engine, text

from jobs.database import open_engine, run
from jobs.settings import Settings
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.chaos.checker import LASTING_KEYS, Evidence, Told, Verdict, check
from tests.chaos.client import LoggedClient
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.history import History
from tests.chaos.ledger import read_ledger, redis_contents, unannounced, unfinished
from tests.conditions import eventually
from tests.stack import Stack

SPEED = 200  # tokens, which are bytes, a second
SLOTS = 8
# Models that only some tests host. A worker that is killed leaves the bells that it had
# not heard yet, and in the end nobody hosts these: bells may wait for them, not for echo.
SOLO, MOVING = UNHOSTED = ("solo", "moving")
# What only the tenant OTHER ever says.
OTHER, CANARY = "other", "canary-4411"
STEADY = ("web", "dispatcher", "dispatcher.2", "housekeeper", "worker", "worker.2")
# A child's own few, Celery's pool of `slots` + 8, and those of its clients.
MOST_THREADS = SLOTS + 8 + 40


class Arena:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder / "postgres", fsync=False)
        self.valkey = EmbeddedValkey(folder / "valkey", append_only=False)
        self.postgres.start()
        self.redis_proxy = FaultProxy(self.valkey.start())
        self.stack = Stack(
            folder,
            database_url=self.postgres.url,
            redis_url=self.redis_proxy.url,
            LMAAS_DEVICE="cpu",  # or the worker imports torch to look for another
            LMAAS_ECHO_TOKENS_PER_S=str(SPEED),
            LMAAS_SLOTS=str(SLOTS),
            LMAAS_DRAIN_S="3",
            # Receivers listen on loopback; the lease of a delivery is three times its timeout.
            LMAAS_WEBHOOK_HTTP="1",
            LMAAS_WEBHOOK_PRIVATE="127.0.0.0/8",
            LMAAS_WEBHOOK_TIMEOUT_S="1",
            LMAAS_WEBHOOK_PAUSE_S="0.1",
        )
        for name in ("echo", SOLO):
            self.stack.command("models_store", "echo", "--name", name)
        self.history = History()
        self.client = LoggedClient(self.stack.http, self.history)
        key = self.stack.command("api.bootstrap", "--tenant", OTHER).strip()
        self._other_http = httpx.Client(
            base_url=self.stack.http.base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=70,
            trust_env=False,
        )
        self.other = LoggedClient(self._other_http, self.history, tenant=OTHER)
        given = {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.valkey.url}
        self.told: list[Told] = []
        self.engine: Engine = open_engine(Settings.model_validate(given), application="tests")
        self.stack.start(*STEADY)
        self.stack.ready(workers=2)

    def close(self) -> None:
        """Ends everything."""
        self._other_http.close()
        self.stack.close()
        self.engine.dispose()
        self.redis_proxy.close()
        self.valkey.stop()
        self.postgres.remove()

    def child(self, name: str) -> int | None:
        """The process that a worker's parent watches, if there is one now."""
        try:
            children = psutil.Process(self.stack.pid(name)).children()
        except psutil.NoSuchProcess:
            return None
        return int(children[0].pid) if children else None

    @contextmanager
    def workers(self, *names: str, **settings: str) -> Iterator[None]:
        """More workers, ready; in the end killed, which is quicker than a drain."""
        self.stack.start(*names, **settings)
        try:
            for name in names:
                self.wait_ready(name)
            yield
        finally:
            self.stack.kill_all_of(*names)

    @contextmanager
    def armed(self, points: Mapping[str, str], **settings: str) -> Iterator[list[str]]:
        """Workers for `echo` with a failpoint each, by a word of their name; one
        that dies of it stays dead."""
        names = [f"worker.{word}" for word in points]
        for name, point in zip(names, points.values(), strict=True):
            own = {"LMAAS_FAILPOINTS": point, "LMAAS_RESTART_PAUSE_S": "300"}
            self.stack.start(name, **own, **settings)
        try:
            for name in names:
                self.wait_ready(name)
            yield names
        finally:
            self.stack.kill_all_of(*names)

    def wait_ready(self, name: str, *, times: int = 1) -> None:
        """Waits until a worker has said so often that it is ready."""
        eventually(lambda: self.stack.log(name).count("ready: ") >= times, within_s=30,
                   what=f"{name} is ready")  # fmt: skip

    def submit(self, rng: random.Random, count: int, *, longest: int = 100, **more: Any
               ) -> list[str]:  # fmt: skip
        """That many jobs of random lengths, from four clients at once; another
        tenant sends its canary among them."""
        self.other.submit(CANARY, **more)
        prompts = [f"{number:03}" + "x" * rng.randrange(longest) for number in range(count)]
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda prompt: self.client.submit(prompt, **more), prompts))

    def succeed(self, ids: Sequence[str]) -> None:
        """All of these succeed."""
        for id in ids:
            self.client.result(id)

    def running(self, *, worker_pid: int | None = None) -> set[UUID]:
        """The jobs that run now, with one worker or with any."""
        query = (
            "SELECT j.id, w.pid FROM jobs j JOIN workers w ON w.id = j.worker_id "
            "WHERE j.state = 'running'"
        )
        return {row.id for row in run(self.engine, text(query), {})
                if worker_pid in (None, row.pid)}  # fmt: skip

    def judge(self, *, bells_may_wait: bool = True) -> Verdict:
        """Waits until all jobs have ended, and fails if the checker finds any fault.

        After a fault of Redis workers connect again in their own time, and
        meanwhile bells wait in its queues; in the end they must not.
        """
        eventually(lambda: unfinished(self.engine) == 0, within_s=30, what="all jobs ended")
        eventually(lambda: unannounced(self.engine) == 0, within_s=30, what="an empty outbox")
        with Redis.from_url(self.valkey.url, decode_responses=True) as redis:
            if not bells_may_wait:
                eventually(lambda: not redis.exists("model.echo.1"), within_s=30)
            found = redis_contents(redis)
        patient = ["model.*"] if bells_may_wait else [f"model.{name}.*" for name in UNHOSTED]
        logs = self.stack.folder.glob("*.log")
        steady = {name: pid for name in ("worker", "worker.2") if (pid := self.child(name))}
        verdict = check(
            Evidence(
                read_ledger(self.engine),
                self.history,
                redis=found,
                lasting=(*LASTING_KEYS, *patient),
                told=self.told,
                logs={path.stem: path.read_text(errors="replace") for path in logs},
                canaries={OTHER: CANARY},
                threads={
                    name: (psutil.Process(pid).num_threads(), MOST_THREADS)
                    for name, pid in steady.items()
                },
            )
        )
        assert not verdict.is_guilty, f"\n{verdict}"
        return verdict
