"""One side of `benchmarks.queue_pairs`: a checkout's own queue, which runs rounds as told.

Run as a file, with the checkout as folder and in PYTHONPATH: what it imports is that
checkout's, of whatever age. Reads `steady SECONDS` or `burst JOBS` from its input, and
answers each with a line of JSON.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks import load
from benchmarks.queue_throughput import lmaas
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey

KINDS = {
    "postgres": "postgres",
    "valkey": "valkey",
    "gunicorn": "web",
    "housekeeper": "housekeeper",
    "-m dispatcher": "dispatcher",
    "-m workers": "worker",
}


def cpu_s() -> Counter[str]:
    """Seconds of CPU that each kind of process has used so far."""
    spent: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        try:
            command, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        kind = next((kind for word, kind in KINDS.items() if word in command), "other")
        spent[kind] += times.user + times.system
    return spent


def play(target: load.Target, headers: dict[str, str], what: str, amount: str) -> dict[str, Any]:
    """One round: what the clients saw, and the CPU of each job in milliseconds."""
    before = cpu_s()
    if what == "steady":
        seen = load.steady(target, headers, clients=8, window=16, seconds=float(amount))
        jobs = seen["jobs_per_s"] * float(amount)
    else:
        seen = load.burst(target, headers, clients=8, jobs=int(amount))
        jobs = float(amount)
    after = cpu_s()
    return seen | {"cpu_ms": {kind: 1000 * (after[kind] - before[kind]) / jobs for kind in after}}


def main() -> None:
    """Serves until its input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever its processes print is no answer
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "postgres")
        valkey = EmbeddedValkey(folder / "valkey", append_only=False)
        try:
            with lmaas(folder, postgres.start(), valkey.start()) as (target, headers):
                print("up", file=answers, flush=True)
                for line in sys.stdin:
                    what, amount = line.split()
                    print(json.dumps(play(target, headers, what, amount)), file=answers, flush=True)
        finally:
            valkey.stop()
            postgres.remove()


if __name__ == "__main__":
    main()
