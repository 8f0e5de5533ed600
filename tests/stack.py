"""The Procfile's processes as real processes, over a test's own database."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx

from lmaas.local import ports, process
from tests.conditions import ROOT, eventually

COMMANDS = {
    "web": "api",
    "dispatcher": "dispatcher",
    "housekeeper": "dispatcher.housekeeper",
    "worker": "workers",
    "flower": "bells.flower",
}


class Stack:
    """Processes by name; `http` speaks to the front door with the first key."""

    def __init__(self, folder: Path, *, database_url: str, redis_url: str, **settings: str) -> None:
        self.folder = folder
        self.port = ports.keep(None)
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "LMAAS_STORE": str(folder / "store"),
            "LMAAS_WEB_PORT": str(self.port),
            "LMAAS_WEB_PROCESSES": "1",
            "LMAAS_LEASE_S": "2",
            "LMAAS_HEARTBEAT_S": "0.5",
            "LMAAS_DRAIN_S": "10",
            "LMAAS_MODEL": "echo",
            **settings,
        }
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.command("migrations")
        self.key = self.command("api.bootstrap").strip()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=70,
            trust_env=False,
        )

    def command(self, module: str, *arguments: str) -> str:
        """Runs one of our commands to its end; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT, env=self.environment, check=True, timeout=120, stdout=subprocess.PIPE,
        )  # fmt: skip
        return done.stdout.decode()

    def start(self, *names: str, **settings: str) -> None:
        """Starts processes; `worker.2` is a second worker."""
        for name in names:
            module = COMMANDS[name.partition(".")[0]]
            self._children[name] = process.spawn(
                [sys.executable, "-m", module],
                cwd=ROOT,
                environment=self.environment | settings,
                log=self.folder / f"{name}.log",
            )

    def ready(self, *, workers: int = 1, within_s: float = 60) -> None:
        """Waits until the front door answers and that many workers are ready."""
        eventually(lambda: self._ready_workers() >= workers, within_s=within_s,
                   what=f"{workers} ready workers; see {self.folder}/*.log")  # fmt: skip

    def _ready_workers(self) -> int:
        try:
            answer = self.http.get("/health/ready")
        except httpx.TransportError:
            return -1
        return sum(answer.json()["checks"]["models"].values()) if answer.is_success else -1

    def pid(self, name: str) -> int:
        """The process id of a started process."""
        return self._children[name].pid

    def has_ended(self, name: str) -> bool:
        """Whether a started process is no more."""
        return self._children[name].poll() is not None

    def forget(self, name: str) -> None:
        """Takes note of a process that ended by itself."""
        self._children.pop(name).wait(timeout=10)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to one process, not to its children."""
        os.kill(self.pid(name), number)

    def stop(self, *names: str) -> None:
        """SIGTERM, and waits; whoever does not end in time fails the test."""
        chosen = [self._children.pop(name) for name in names or tuple(self._children)]
        for child in chosen:
            child.terminate()
        for child in chosen:
            child.wait(timeout=40)

    def kill(self, name: str) -> None:
        """SIGKILL to one process, as a fault would."""
        child = self._children.pop(name)
        child.kill()
        child.wait(timeout=10)

    def kill_all_of(self, *names: str) -> None:
        """SIGKILL to processes and all their children, if they still run."""
        for name in names:
            child = self._children.pop(name, None)
            if child is not None:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait(timeout=10)

    def close(self) -> None:
        """Ends all that still runs, whatever state it is in."""
        self.http.close()
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(timeout=10)
        self._children.clear()

    def log(self, name: str) -> str:
        """What a process wrote so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")
