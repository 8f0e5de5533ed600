"""Postgres and Valkey for one checkout: our own, or those that the environment names."""

from dataclasses import replace
from pathlib import Path

from lmaas.errors import StartFailed
from lmaas.local import ports
from lmaas.local.checkout import Checkout
from lmaas.local.environment import given
from lmaas.local.keeper import Keeper
from lmaas.local.memory import Memory
from lmaas.local.postgres import EmbeddedPostgres, postgres_url
from lmaas.local.valkey import EmbeddedValkey, valkey_url


def known_urls(memory: Memory) -> tuple[str, str] | None:
    """Where the servers of the last start are; None if there was none."""
    database_url, redis_url = given("DATABASE_URL"), given("REDIS_URL")
    if database_url is None and "postgres" in memory.ports:
        database_url = postgres_url(memory.postgres_password, memory.ports["postgres"])
    if redis_url is None and "valkey" in memory.ports:
        redis_url = valkey_url(memory.valkey_password, memory.ports["valkey"])
    return (database_url, redis_url) if database_url and redis_url else None


class ServerRunner:
    """An embedded server that must come back under the URL that others know."""

    def __init__(self, server: EmbeddedPostgres | EmbeddedValkey) -> None:
        self._server = server
        self._url = ""

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._server.pid

    def start(self) -> None:
        """Starts it; raises `StartFailed` also if its port went to somebody else."""
        url = self._server.start()
        if self._url and url != self._url:
            self._server.stop()
            raise StartFailed("the port was taken by another program")
        self._url = url

    def stop(self, timeout_s: float) -> None:
        """A clean stop."""
        self._server.stop(timeout_s)


class Servers:
    """The two servers. `keepers` holds those that are ours."""

    def __init__(self, checkout: Checkout, memory: Memory) -> None:
        self._checkout, self.memory = checkout, memory
        self.keepers: list[Keeper] = []
        self.notes: list[str] = []
        self.database_url, self.redis_url = given("DATABASE_URL"), given("REDIS_URL")
        self.data: Path | None = None

    def start_postgres(self) -> str:
        """The database's URL."""
        if self.database_url is None:
            server = EmbeddedPostgres(
                self._checkout.state / "postgres",
                password=self.memory.postgres_password,
                port=_last(self.memory, "postgres"),
                binaries=given("LMAAS_POSTGRES_BIN"),
                log=self._checkout.logs / "postgres.log",
            )
            self._keep("postgres", server)
            self.data = server.data
            self.database_url = server.url
            if not server.folder.is_relative_to(self._checkout.state):
                self.notes.append(
                    f"Postgres keeps its data in {server.folder}: its user cannot enter "
                    f"{self._checkout.state}"
                )
        return self.database_url

    def start_valkey(self) -> str:
        """The URL of Valkey or Redis."""
        if self.redis_url is None:
            server = EmbeddedValkey(
                self._checkout.state / "valkey",
                password=self.memory.valkey_password,
                port=_last(self.memory, "valkey"),
                binary=given("LMAAS_VALKEY_BIN"),
                log=self._checkout.logs / "valkey.log",
            )
            self._keep("valkey", server)
            self.redis_url = server.url
        return self.redis_url

    def _keep(self, name: str, server: EmbeddedPostgres | EmbeddedValkey) -> None:
        keeper = Keeper(name, ServerRunner(server), server.log)
        keeper.start()
        self.keepers.append(keeper)
        self.memory = replace(self.memory, ports={**self.memory.ports, name: server.port or 0})


def _last(memory: Memory, name: str) -> int:
    """The port of last time if it is still free, else another, without waiting for it."""
    return ports.choose([memory.ports.get(name)])
