"""A real Postgres of our own: password on loopback, no socket file, fast stop.

Tests use it as well: `EmbeddedPostgres(folder, fsync=False).start()`.
"""

import secrets
import signal
import subprocess
import time
from pathlib import Path

from lmaas.errors import StartFailed
from lmaas.local import account as accounts
from lmaas.local import ports, postgres_binaries, process
from lmaas.local import postgres_cluster as cluster

_SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "15s",
    "jit": "off",
    # Parallel queries need /dev/shm, which containers keep small.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# What a start meets when the last one was killed a moment ago.
_PASSING = ("shared memory block", "could not bind", "could not create any TCP/IP")


def postgres_url(password: str, port: int) -> str:
    """The SQLAlchemy URL of an embedded server's database."""
    place = f"{ports.LOOPBACK}:{port}/{cluster.DATABASE}"
    return f"postgresql+psycopg://{cluster.USER}:{password}@{place}"


class EmbeddedPostgres:
    """One server and its data under `folder`.

    The data outlives the object if `password` is given again. With
    `fsync=False` a crash of the machine (not of the process) loses data.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        port: int | None = None,
        fsync: bool = True,
        binaries: str | None = None,
        log: Path | None = None,
    ) -> None:
        self.password = password or secrets.token_urlsafe(24)
        self.port = port
        self._fsync = fsync
        self._account = accounts.unprivileged()
        self._binaries = binaries
        self.folder = cluster.reachable(folder.absolute(), self._account)
        self.data = self.folder / "data"
        self.log = log or self.folder / "postgres.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's pid, or None if it does not run."""
        running = self._child is not None and self._child.poll() is None
        return self._child.pid if self._child is not None and running else None

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database."""
        return postgres_url(self.password, self.port or 0)

    def start(self, timeout_s: float = 60) -> str:
        """Starts the server, makes the database if it is the first time; gives the URL.

        The port is kept over restarts; a new one is taken only if somebody
        else has it. Raises `StartFailed` with the log's last lines.
        """
        deadline = time.monotonic() + timeout_s
        cluster.prepare(self.folder, self._account)
        binaries = postgres_binaries.runnable(postgres_binaries.find(self._binaries), self._account)
        if not (self.data / "PG_VERSION").exists():
            cluster.create(
                self.data, binaries, self._account, password=self.password, fsync=self._fsync
            )
        cluster.check_version(self.data, binaries)
        cluster.end_leftover(self.data)
        while not self._start_once(binaries, deadline):
            if time.monotonic() > deadline:
                raise StartFailed(f"Postgres did not start: {self._last_lines()} ({self.log})")
        return self.url

    def stop(self, timeout_s: float = 60) -> None:
        """A fast stop: clients are cut off, everything committed is on disk."""
        if self._child is not None:
            process.reap(self._child, signal.SIGINT, timeout_s)
            self._child = None

    def kill(self) -> None:
        """SIGKILL, as a fault would; the next `start` recovers."""
        if self._child is not None:
            process.reap(self._child, signal.SIGKILL, 0)
            self._child = None

    def remove(self) -> None:
        """Stops the server and deletes its data, wherever they lie; for tests."""
        self.stop()
        cluster.remove(self.folder)

    def _start_once(self, binaries: Path, deadline: float) -> bool:
        """False if it ended for a reason that passes."""
        self.port = ports.keep(self.port)
        settings = _SETTINGS | {"port": str(self.port), "fsync": "on" if self._fsync else "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        begun = self.log.stat().st_size if self.log.exists() else 0
        self._child = process.spawn(
            [binaries / "postgres", "-D", self.data, *options],
            log=self.log,
            cwd=self.data,
            environment=cluster.environment(),
            account=self._account,
            death_signal=signal.SIGINT,
        )
        while self._child.poll() is None:
            if self._is_ready():
                return True
            if time.monotonic() > deadline:
                self.stop(5)
                return False
            time.sleep(0.02)
        if any(reason in self._written_since(begun) for reason in _PASSING):
            time.sleep(0.2)
            return False
        raise StartFailed(f"Postgres did not start: {self._last_lines()} ({self.log})")

    def _is_ready(self) -> bool:
        lines = cluster.lock_file(self.data)
        mine = self._child is not None and lines[:1] == [str(self._child.pid)]
        return mine and len(lines) > 7 and lines[7].strip() == "ready"

    def _written_since(self, position: int) -> str:
        with self.log.open("rb") as log:
            log.seek(position)
            return log.read().decode(errors="replace")

    def _last_lines(self) -> str:
        if not self.log.exists():
            return "it wrote nothing"
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
