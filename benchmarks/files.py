"""`python -m benchmarks.files`: how fast files come and go, and what memory that takes.

One front door, one process. Beside each size: how fast this disk takes the same bytes
when they are written and synced from memory, which no upload can beat. Memory is the
process's own (USS), sampled every 5 ms against its value before. CPU time is that of
the front door alone: it says more than the rates where other work shares the cores.
"""

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.conditions import ROOT, eventually
from tests.stack import Stack

RESULTS = ROOT / "benchmarks" / "results" / "files.json"
MEGA = 1_000_000
PIECE = b"0123456789abcdef" * 4_096
HEAD = (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
        b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n')  # fmt: skip
TAIL = b"\r\n--b--\r\n"


def pieces(size: int) -> Iterator[bytes]:
    """The content of a file of that size."""
    for _ in range(size // len(PIECE)):
        yield PIECE
    yield PIECE[: size % len(PIECE)]


def upload(stack: Stack, size: int) -> str:
    """Sends a form as it is made; the file's id."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=600)
    connection.putrequest("POST", "/v1/files")
    for name, value in (
        ("Authorization", f"Bearer {stack.key}"),
        ("Content-Type", "multipart/form-data; boundary=b"),
        ("Content-Length", str(len(HEAD) + size + len(TAIL))),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    for piece in (HEAD, *pieces(size), TAIL):
        connection.send(piece)
    id: str = json.loads(connection.getresponse().read())["id"]
    connection.close()
    return id


def download(stack: Stack, id: str) -> None:
    """Reads a file to its end."""
    with stack.http.stream("GET", f"/v1/files/{id}/content") as answer:
        for _ in answer.iter_raw():
            pass


def disk(folder: Path, size: int) -> None:
    """Writes and syncs the same bytes without anything around it."""
    with (folder / "plain").open("wb") as file:
        for piece in pieces(size):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


class Memory:
    """The most that a process grew by while the block ran."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.grown = 0

    def __enter__(self) -> "Memory":
        self._before = self._process.memory_full_info().uss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.grown = max(self.grown, self._process.memory_full_info().uss - self._before)


def measure(stack: Stack, size: int, at_once: int) -> dict[str, float]:
    """One row: that many files of a size, at once."""
    [process] = psutil.Process(stack.pid("web")).children()
    with Memory(process) as memory:
        began, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
        with ThreadPoolExecutor(at_once) as pool:
            ids = list(pool.map(lambda _: upload(stack, size), range(at_once)))
        up_s, up_cpu_s = time.perf_counter() - began, sum(process.cpu_times()[:2]) - cpu
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda id: download(stack, id), ids))
        down_s = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(at_once):
        disk(stack.folder, size)
    disk_s = time.perf_counter() - began
    for id in ids:
        stack.http.delete(f"/v1/files/{id}")
    total = size * at_once / MEGA
    return {"size_mb": size / MEGA, "at_once": at_once, "up_mb_s": total / up_s,
            "down_mb_s": total / down_s, "disk_mb_s": total / disk_s,
            "up_cpu_ms_per_mb": 1000 * up_cpu_s / total,
        "grown_mb": memory.grown / MEGA}  # fmt: skip


@contextmanager
def running() -> Iterator[Stack]:
    """A front door over servers of its own."""
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
        stack = Stack(folder, database_url=postgres.start(), redis_url=valkey.start())
        try:
            stack.start("web")
            eventually(lambda: _answers(stack), within_s=60)
            yield stack
        finally:
            stack.close()
            valkey.stop()
            postgres.remove()


def _answers(stack: Stack) -> bool:
    try:
        return stack.http.get("/health/live").is_success
    except httpx2.TransportError:
        return False


def main() -> None:
    """Prints a table and keeps it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    rows = []
    with running() as stack:
        measure(stack, MEGA, 1)  # warm
        for _ in range(arguments.rounds):
            for size, at_once in ((50, 1), (200, 1), (50, 8)):
                rows.append(measure(stack, size * MEGA, at_once))
                print("  ".join(f"{name} {value:.1f}" for name, value in rows[-1].items()),
                      flush=True)  # fmt: skip
    body = {"command": " ".join(["python", "-m", "benchmarks.files", *sys.argv[1:]]), "rows": rows}
    RESULTS.write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()
