"""`python -m benchmarks.cancel_latency`: how soon a cancelled job's slot works again.

All slots are taken by long jobs and others wait. A client cancels one that
runs; the time is measured until the next job starts in its slot (its
`started_at`; client and Postgres share this machine's clock), from the moment
the cancel was sent and from the moment it was answered with 200.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import load
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.conditions import ROOT
from tests.stack import Stack

RESULTS = ROOT / "benchmarks" / "results" / "cancel.json"
SMOLLM2 = ROOT / ".lmaas" / "convert" / "smollm2"
# Enough that a job always waits, few enough that the queue is no subject here.
WAITING = 4
WARM = 10
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One engine under load: `tokens_per_s` is the echo engine's speed, `words`
    make the prompt; `threads` are torch's, 0 for as many as there are cores."""

    name: str
    model: str
    slots: int
    words: str
    tokens_per_s: int = 0
    folder: Path | None = None
    threads: int = 0


@contextmanager
def running(case: Case) -> Iterator[load.Http]:
    """Servers and processes of its own, and a connection to them."""
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "postgres")
        valkey = EmbeddedValkey(folder / "valkey", append_only=False)
        stack = Stack(folder, database_url=postgres.start(), redis_url=valkey.start(),
                      LMAAS_MODEL=case.model, LMAAS_SLOTS=str(case.slots), LMAAS_LEASE_S="45",
                      LMAAS_HEARTBEAT_S="10", LMAAS_DRAIN_S="1", LMAAS_DEVICE="cpu",
                      LMAAS_THREADS=str(case.threads),
                      LMAAS_ECHO_TOKENS_PER_S=str(case.tokens_per_s))  # fmt: skip
        try:
            if case.folder is None:
                stack.command("models_store", "echo")
            else:
                stack.command("models_store", "import", str(case.folder), "--name", case.model)
            stack.start("web", "dispatcher", "worker")
            stack.ready(within_s=120)
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {stack.key}"}
            yield load.Http(stack.port, headers)
        finally:
            stack.close()
            valkey.stop()
            postgres.remove()


def submit(http: load.Http, case: Case) -> str:
    """A job that runs longer than it takes until its turn to be cancelled."""
    body = {"task": "generate", "model": case.model, "input": {"prompt": case.words},
            "parameters": {"max_tokens": 800}}  # fmt: skip
    id: str = http.call("POST", "/v1/jobs", body)["id"]
    return id


def started(http: load.Http, id: str) -> float:
    """When the job started, as soon as it has."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        job: dict[str, Any] = http.call("GET", f"/v1/jobs/{id}")
        if job["timings"]["started_at"]:
            return datetime.fromisoformat(job["timings"]["started_at"]).timestamp()
        time.sleep(0.02)  # polls that come too often would be what is measured
    raise RuntimeError(f"job {id} did not start within {_PATIENCE_S:g} s")


def measure(case: Case, cancels: int, seed: int) -> list[dict[str, float]]:
    """Milliseconds from cancel to the next job's start, for each cancel."""
    chance = random.Random(seed)
    found: list[dict[str, float]] = []
    with running(case) as http:
        in_slots = deque(submit(http, case) for _ in range(case.slots))
        for id in in_slots:
            started(http, id)
        waiting = deque(submit(http, case) for _ in range(WAITING))
        for _ in range(WARM + cancels):
            # Anywhere between two steps and two looks, not in rhythm with them.
            time.sleep(chance.uniform(0.05, 0.25))
            sent = time.time()
            http.call("POST", f"/v1/jobs/{in_slots.popleft()}/cancel")
            answered = time.time()
            in_slots.append(waiting.popleft())
            reused = started(http, in_slots[-1])
            found.append({"sent_ms": 1000 * (reused - sent),
                          "answered_ms": 1000 * (reused - answered)})  # fmt: skip
            waiting.append(submit(http, case))
        if http.call("GET", "/v1/jobs?status=succeeded&limit=1")["data"]:
            raise RuntimeError("a job ended by itself, so not all slots were freed by cancels")
        for id in (*in_slots, *waiting):
            http.call("POST", f"/v1/jobs/{id}/cancel")
        http.close()
    return found[WARM:]


def percentile(values: list[float], share: float) -> float:
    """The value that this share of all is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def cases(model: Path) -> list[Case]:
    """The echo engine quick and slow, and SmolLM2 if it is there."""
    found = [
        Case(f"echo, {slots} slots, 5 tokens/s each", "echo", slots, "and so on " * 80, 5)
        for slots in (8, 64)
    ]
    if (model / "config.json").is_file():
        # As many threads as cores wait for each other by spinning: when anything
        # else wants a core, a step takes as long as the scheduler likes.
        found += [
            Case(f"SmolLM2-135M, 8 slots, {words}", "bench", 8, "and so on " * 8, 0, model, threads)
            for words, threads in (("a thread a core", 0), ("1 thread", 1))
        ]
    return found


def main() -> None:
    """Runs the benchmark, prints p50 and p99 and keeps every value as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cancels", type=int, default=300, help="for each case")
    parser.add_argument("--model", type=Path, default=SMOLLM2)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    command = "python -m benchmarks.cancel_latency " + " ".join(sys.argv[1:])
    figures: dict[str, dict[str, Any]] = {}
    print(f"{'cancel to next job, ms':34}{'p50':>8}{'p99':>8}{'most':>8}   (from 200 on: p50 p99)")
    for case in cases(arguments.model):
        if arguments.only not in case.name:
            continue
        found = measure(case, arguments.cancels, arguments.seed)
        sent, answered = ([value[name] for value in found] for name in ("sent_ms", "answered_ms"))
        print(f"{case.name:34}{percentile(sent, 0.5):8.1f}{percentile(sent, 0.99):8.1f}"
              f"{max(sent):8.1f}   ({percentile(answered, 0.5):.1f} "
              f"{percentile(answered, 0.99):.1f})", flush=True)  # fmt: skip
        figures[case.name] = {"cancels": len(found), "p50_ms": percentile(sent, 0.5),
                              "p99_ms": percentile(sent, 0.99), "most_ms": max(sent),
                              "answered_p50_ms": percentile(answered, 0.5),
                              "answered_p99_ms": percentile(answered, 0.99)}  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"command": command.strip(), "cases": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
