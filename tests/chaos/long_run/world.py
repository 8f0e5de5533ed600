"""The real stack on servers that may be killed: what a long run does things to."""

import os
import signal
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx
import psutil
from redis import Redis
from sqlalchemy import Engine, create_engine

from jobs import keys, leases, tenants
from jobs.database import open_engine
from jobs.errors import DatabaseUnavailable
from jobs.keys import Scope
from jobs.settings import Settings
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from migrations.__main__ import upgrade
from tests.chaos.client import LoggedClient
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.history import History, Server
from tests.conditions import eventually
from tests.stack import Stack

WORKERS = ("worker", "worker.2")
DISPATCHERS = ("dispatcher", "dispatcher.2")
TENANTS = ("default", "another")
# A parent waits twice as long before each further start of its child, as it
# should; after this many starts the run brings a new parent.
_MOST_RESTARTS = 5


@dataclass(frozen=True, slots=True)
class Site:
    """What runs in the world: the workers' model, and settings of the processes."""

    model: str = "echo"
    folder: Path | None = None
    workers: tuple[str, ...] = WORKERS
    settings: Mapping[str, str] = field(default_factory=dict)
    ready_within_s: float = 60


class World:
    """See the module. Every process reaches Redis through one proxy, and the
    last worker reaches Postgres through another."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.history = History()
        # Held while Postgres or Redis is away for certain, and while web is dead:
        # what the door says in that time is judged only if somebody is at the door.
        self.door = threading.Lock()
        self.postgres = EmbeddedPostgres(folder / "postgres", fsync=False)
        self.valkey = EmbeddedValkey(folder / "valkey", append_only=False)
        migrating = create_engine(self.postgres.start())
        with migrating.connect() as connection:
            upgrade(connection)
        migrating.dispose()
        self.redis_proxy = FaultProxy(self.valkey.start())
        self.postgres_proxy = FaultProxy(self.postgres.url)
        self.stack = Stack(folder, database_url=self.postgres.url, redis_url=self.redis_proxy.url,
                           LMAAS_MODEL=site.model, LMAAS_DEVICE="cpu", LMAAS_DRAIN_S="2",
                           LMAAS_RESTART_PAUSE_S="0.05", **site.settings)  # fmt: skip
        given = {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.valkey.url}
        self.engine: Engine = open_engine(Settings.model_validate(given), application="tests")
        self._restarts = dict.fromkeys(WORKERS, 0)
        self._https: list[httpx.Client] = []

    def start(self) -> None:
        """Everything of the Procfile but Flower, and a second of what may be twice."""
        if self.site.folder is None:
            self.stack.command("models_store", "echo")
        else:
            self.stack.command("models_store", "import", str(self.site.folder), "--name",
                               self.site.model)  # fmt: skip
        self.stack.start("web", *DISPATCHERS, "housekeeper")
        for name in self.site.workers:
            self.start_worker(name)
        for name in self.site.workers:
            self.wait_ready(name)

    def close(self) -> None:
        """Ends everything."""
        for client in self._https:
            client.close()
        self.stack.close()
        self.engine.dispose()
        self.redis_proxy.close()
        self.postgres_proxy.close()
        self.valkey.stop()
        self.postgres.remove()

    def client(self, tenant: str) -> LoggedClient:
        """A client with a key of that tenant."""
        tenant_id = tenants.ensure(self.engine, tenant)
        _, secret = keys.create(self.engine, tenant_id, "chaos", list(Scope))
        http = httpx.Client(
            base_url=self.stack.http.base_url,
            headers={"Authorization": f"Bearer {secret}"},
            timeout=30,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )
        self._https.append(http)
        return LoggedClient(http, self.history, tenant=tenant)

    def redis(self) -> Redis:
        """A connection past the proxy."""
        return Redis.from_url(self.valkey.url, decode_responses=True)

    def away(self, server: Server) -> AbstractContextManager[None]:
        """`with world.away(Server.REDIS):` for as long as it certainly is."""
        return self.history.away(server)

    # Processes

    def child(self, name: str) -> int | None:
        """The process that a worker's parent watches, if there is one now."""
        try:
            children = psutil.Process(self.stack.pid(name)).children()
        except psutil.NoSuchProcess:
            return None
        return int(children[0].pid) if children else None

    def is_ready(self, name: str) -> bool:
        """Whether a worker lives and holds a lease as ready."""
        child = self.child(name)
        try:
            live = leases.live_workers(self.engine)
        except DatabaseUnavailable:
            return False
        return child in {worker.pid for worker in live if worker.state == "ready"}

    def wait_ready(self, name: str) -> None:
        """Waits until it is."""
        eventually(lambda: self.is_ready(name), within_s=self.site.ready_within_s,
                   what=f"{name} is ready; see {self.stack.folder}")  # fmt: skip

    def wait_door(self) -> None:
        """Waits until web answers, whatever it says."""

        def answers() -> bool:
            try:
                return self.stack.http.get("/health/live", timeout=5).is_success
            except httpx.TransportError:
                return False

        eventually(answers, within_s=30, what="web answers")

    def start_worker(self, name: str, **settings: str) -> None:
        """A worker; the last one of two has the troubled way to Postgres."""
        if name == WORKERS[-1]:
            settings |= {"DATABASE_URL": self.postgres_proxy.url}
        self.stack.start(name, **settings)
        self._restarts[name] = 0

    def kill_child(self, name: str) -> None:
        """SIGKILL for a worker whose parent lives, and starts it again."""
        if self._restarts[name] >= _MOST_RESTARTS:
            self.kill_tree(name)
            self.start_worker(name)
            return
        self._restarts[name] += 1
        if (child := self.child(name)) is not None:
            os.kill(child, signal.SIGKILL)
            eventually(lambda: self.child(name) not in (child, None), within_s=30,
                       what=f"the parent of {name} starts another")  # fmt: skip

    def kill_tree(self, name: str) -> None:
        """SIGKILL for a process and all that it started, as a power cut would."""
        group = self.stack.pid(name)
        os.killpg(group, signal.SIGKILL)
        self.stack.kill(name)

    def stop(self) -> None:
        """SIGTERM for all, and their end."""
        self.stack.stop()
