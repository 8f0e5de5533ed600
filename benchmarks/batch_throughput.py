"""`python -m benchmarks.batch_throughput`: lines a second, and memory, of batches.

Echo engine, durable Postgres (fsync), all processes on this machine. A batch of
20,000 short lines with nobody to run them (the intake alone) and with a worker beside,
then one of 50,000 lines and 200 MB, for the memory of every process. Peaks are the
kernel's own (VmHWM), of a stack that did nothing else.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from jobs.database import open_engine, run
from jobs.settings import Settings
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.conditions import ROOT, eventually
from tests.stack import Stack

RESULTS = ROOT / "benchmarks" / "results" / "batch.json"
URL = "/v1/completions"
LARGE = 50_000, 200_000_000
PROCESSES = ("web", "housekeeper", "dispatcher")
Figures = dict[str, float]

# Seconds between the moments that the batch's row tells.
SPANS = text("""
SELECT extract(epoch FROM intake_ended_at - in_progress_at)::float8 AS intake_s,
       extract(epoch FROM in_progress_at - created_at)::float8 AS counting_s,
       extract(epoch FROM finalizing_at - in_progress_at)::float8 AS running_s,
       extract(epoch FROM completed_at - finalizing_at)::float8 AS writing_s
FROM batches WHERE id = CAST(:id AS uuid)
""")


@dataclass(frozen=True, slots=True)
class Site:
    """A fresh stack and a way to look behind it."""

    stack: Stack
    engine: Engine

    def batch(self, lines: int, size: int) -> str:
        """Uploads a file of that many lines and bytes and makes a batch of it."""
        each = max(1, size // lines - 160)
        data = "\n".join(_line(number, each) for number in range(lines)).encode()
        files = {"file": ("in.jsonl", data)}
        sent = self.stack.http.post("/v1/files", data={"purpose": "batch"}, files=files)
        sent.raise_for_status()
        body = {"input_file_id": sent.json()["id"], "endpoint": URL, "completion_window": "24h"}
        made = self.stack.http.post("/v1/batches", json=body)
        made.raise_for_status()
        return str(made.json()["id"])

    def moment(self, id: str, name: str, within_s: float) -> None:
        """Waits until the batch has come to it."""
        sql = text(f"SELECT {name} IS NOT NULL FROM batches WHERE id = CAST(:id AS uuid)")
        eventually(lambda: run(self.engine, sql, {"id": id[6:]})[0][0], within_s=within_s)

    def spans(self, id: str) -> Any:
        """Seconds of its parts."""
        return run(self.engine, SPANS, {"id": id[6:]})[0]

    def peaks(self) -> Figures:
        """The most memory that each process, its children included, ever had."""
        return {f"{name} peak MB": _peak_mb(self.stack.pid(name)) for name in PROCESSES}

    def cpu_s(self, name: str) -> float:
        """The CPU that a process used so far, user's and system's."""
        fields = Path(f"/proc/{self.stack.pid(name)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def reading_ms(self, id: str) -> float:
        """How long it takes to ask for a batch, its lines counted; the median."""
        times = []
        for _ in range(21):
            began = time.perf_counter()
            self.stack.http.get(f"/v1/batches/{id}").raise_for_status()
            times.append(1e3 * (time.perf_counter() - began))
        return statistics.median(times)


def _line(number: int, size: int) -> str:
    body = {"model": "echo", "prompt": f"{number} " + "x" * size, "max_tokens": 16}
    return json.dumps(
        {"custom_id": f"request-{number}", "method": "POST", "url": URL, "body": body}
    )


def _peak_mb(pid: int) -> float:
    own = Path(f"/proc/{pid}/status").read_text()
    [peak] = [line.split()[1] for line in own.splitlines() if line.startswith("VmHWM")]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max([int(peak) / 1_024, *(_peak_mb(int(child)) for child in children)])


@contextmanager
def site(folder: Path, *names: str) -> Iterator[Site]:
    """A stack of its own on servers of its own."""
    folder.mkdir()
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres")
    valkey = EmbeddedValkey(folder / "valkey", append_only=False)
    stack = Stack(folder, database_url=postgres.start(), redis_url=valkey.start(),
                  LMAAS_SLOTS="256", LMAAS_DEVICE="cpu", LMAAS_LEASE_S="45",
                  LMAAS_HEARTBEAT_S="10")  # fmt: skip
    engine = open_engine(Settings.model_validate(stack.environment), application="benchmark")
    try:
        stack.command("models_store", "echo")
        stack.start("web", "dispatcher", "housekeeper", *names)
        stack.ready(workers=len(names))
        yield Site(stack, engine)
    finally:
        stack.close()
        engine.dispose()
        valkey.stop()
        postgres.remove()


def intake(at: Site, lines: int, size: int) -> Figures:
    """The intake alone."""
    idle, cpu_s = at.peaks(), at.cpu_s("housekeeper")
    id = at.batch(lines, size)
    at.moment(id, "intake_ended_at", 600)
    spans = at.spans(id)
    return {
        "file MB": size / 1e6,
        "counting the file, s": spans.counting_s,
        "intake, lines/s": lines / spans.intake_s,
        "CPU of the housekeeper, ms a line": 1e3 * (at.cpu_s("housekeeper") - cpu_s) / lines,
        **{f"{name}, before": peak for name, peak in idle.items()},
        **at.peaks(),
    }


def whole(at: Site, lines: int, size: int) -> Figures:
    """From the file to its answers, a worker beside."""
    cpu_s = at.cpu_s("housekeeper")
    id = at.batch(lines, size)
    at.moment(id, "completed_at", 1_200)
    spans = at.spans(id)
    return {
        "file MB": size / 1e6,
        "intake, lines/s": lines / spans.intake_s,
        "intake and running, lines/s": lines / spans.running_s,
        "writing both files, lines/s": lines / spans.writing_s,
        "CPU of the housekeeper, ms a line": 1e3 * (at.cpu_s("housekeeper") - cpu_s) / lines,
        "asking for the batch, ms": at.reading_ms(id),
        **at.peaks(),
    }


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--small", action="store_true", help="leaves the 200 MB out")
    arguments = parser.parse_args()
    size = arguments.lines * 300
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with site(folder / "a") as at:
            found[f"intake alone, {arguments.lines:,} lines"] = intake(at, arguments.lines, size)
        with site(folder / "b", "worker") as at:
            found[f"with a worker, {arguments.lines:,} lines"] = whole(at, arguments.lines, size)
        if not arguments.small:
            with site(folder / "c", "worker") as at:
                found["with a worker, 50,000 lines"] = whole(at, *LARGE)
    for what, figures in found.items():
        print(f"\n{what}")
        for figure, measured in figures.items():
            print(f"  {figure:34}{measured:12.2f}")
    found["machine"] = {"load average at the end": os.getloadavg()[1], "cores": os.cpu_count() or 1}
    command = "python -m benchmarks.batch_throughput " + " ".join(sys.argv[1:])
    if not arguments.small:
        RESULTS.write_text(json.dumps({"command": command, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
