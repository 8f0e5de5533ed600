"""`python -m benchmarks.queue_throughput`: the queue alone, against a plain app.

Echo engine, 8 clients, A B A B in one run on one machine with one Postgres and
one Valkey. LMaaS runs durable (fsync on), the plain app as its 20 lines are.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import load
from lmaas.local import ports
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.conditions import ROOT, eventually
from tests.stack import Stack

RESULTS = ROOT / "benchmarks" / "results" / "queue.json"
Figures = dict[str, float]


@contextmanager
def plain(folder: Path, redis_url: str) -> Iterator[tuple[load.Target, dict[str, str]]]:
    """The plain app: gunicorn and a Celery worker with its default pool."""
    port = ports.keep(None)
    environment = os.environ | {"REDIS_URL": redis_url}
    app = "benchmarks.plain_app"
    web = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--worker-class=gthread",
           "--threads=64", f"--workers={os.cpu_count() or 1}", f"--bind=127.0.0.1:{port}",
           "--keep-alive=75", f"{app}:app"]  # fmt: skip
    worker = [sys.executable, "-m", "celery", "-A", f"{app}:celery", "worker", "--loglevel=ERROR"]
    with (folder / "plain.log").open("wb") as log:
        children = [
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            for command in (web, worker)
        ]
    headers = {"Content-Type": "application/json"}
    target = load.Plain(port)
    try:
        eventually(lambda: _answers(target, headers), within_s=60)
        yield target, headers
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait(timeout=30)


def _answers(target: load.Target, headers: dict[str, str]) -> bool:
    http = load.Http(target.port, headers)
    try:
        target.result(http, target.submit(http, 0), 0.0)
    except OSError:
        return False
    finally:
        http.close()
    return True


@contextmanager
def lmaas(
    folder: Path, database_url: str, redis_url: str
) -> Iterator[tuple[load.Target, dict[str, str]]]:
    """LMaaS' own processes, as the Procfile starts them."""
    stack = Stack(
        folder,
        database_url=database_url,
        redis_url=redis_url,
        LMAAS_SLOTS="256",
        LMAAS_WEB_PROCESSES=str(os.cpu_count() or 1),
        LMAAS_LEASE_S="45",
        LMAAS_HEARTBEAT_S="10",
    )
    stack.command("models_store", "echo")
    stack.start("web", "dispatcher", "housekeeper", "worker")
    try:
        stack.ready()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {stack.key}"}
        yield load.Lmaas(stack.port), headers
    except BaseException:
        print(stack.log("web")[-4000:])
        raise
    finally:
        stack.close()


def measure(target: load.Target, headers: dict[str, str], arguments: argparse.Namespace) -> Figures:
    """One round of one system."""
    load.steady(target, headers, clients=8, window=4, seconds=2)  # warm
    steady = load.steady(target, headers, clients=8, window=arguments.window,
                         seconds=arguments.seconds)  # fmt: skip
    single = load.steady(target, headers, clients=1, window=1, seconds=min(5, arguments.seconds))
    burst = load.burst(target, headers, clients=8, jobs=arguments.jobs)
    return {
        "steady jobs/s": steady["jobs_per_s"],
        "burst submits/s": burst["submits_per_s"],
        "burst jobs/s": burst["jobs_per_s"],
        "submit-to-start p50 ms, loaded": steady["start_p50_ms"],
        "submit-to-start p99 ms, loaded": steady["start_p99_ms"],
        "submit-to-start p50 ms, one job": single["start_p50_ms"],
        "submit-to-start p99 ms, one job": single["start_p99_ms"],
    }


def rounds(arguments: argparse.Namespace) -> dict[str, list[Figures]]:
    """A B A B over servers of its own."""
    found: dict[str, list[Figures]] = {"plain": [], "lmaas": []}
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "postgres")
        valkey = EmbeddedValkey(folder / "valkey", append_only=False)
        database_url, redis_url = postgres.start(), valkey.start()
        try:
            for number in range(arguments.rounds):
                print(f"round {number + 1} of {arguments.rounds} ...", flush=True)
                with plain(folder, redis_url) as (target, headers):
                    found["plain"].append(measure(target, headers, arguments))
                with lmaas(folder, database_url, redis_url) as (target, headers):
                    found["lmaas"].append(measure(target, headers, arguments))
        finally:
            valkey.stop()
            postgres.remove()
    return found


def report(found: dict[str, list[Figures]], command: str) -> None:
    """Prints medians side by side and writes all rounds as JSON."""
    print(f"\n{'':34}{'plain app':>12}{'LMaaS':>12}{'ratio':>8}")
    for figure in found["plain"][0]:
        ours = statistics.median(r[figure] for r in found["lmaas"])
        theirs = statistics.median(r[figure] for r in found["plain"])
        print(f"{figure:34}{theirs:12.1f}{ours:12.1f}{ours / theirs:8.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"command": command, "rounds": found}, indent=1) + "\n")
    print(f"\nall rounds: {RESULTS.relative_to(ROOT)}")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="A B pairs")
    parser.add_argument("--seconds", type=float, default=60, help="steady state of each round")
    parser.add_argument("--jobs", type=int, default=8000, help="jobs of a burst")
    parser.add_argument("--window", type=int, default=16, help="jobs in flight for each client")
    arguments = parser.parse_args()
    report(rounds(arguments), "python -m benchmarks.queue_throughput " + " ".join(sys.argv[1:]))


if __name__ == "__main__":
    main()
