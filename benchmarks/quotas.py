"""`python -m benchmarks.quotas`: what limits cost with a million jobs in the queue.

1,000,000 queued rows of 1,000 tenants, all of which have limits and are near them: one
admission beside one submit, eight threads of one tenant at once, and the count that the
housekeeper does.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, create_engine, text

from benchmarks.backlog import Probe, fill, median_ms
from jobs.database import open_engine, run
from jobs.quotas import admission, folding
from jobs.quotas.admission import Asked
from jobs.settings import Settings
from lmaas.local.postgres import EmbeddedPostgres
from migrations.__main__ import upgrade
from tests.conditions import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "quotas.json"
THREADS = 8

LIMITED = """
WITH one AS (
  INSERT INTO tenants (id, name)
  SELECT CAST(md5(n::text) AS uuid), 'tenant ' || n FROM generate_series(0, 999) n RETURNING id
)
INSERT INTO tenant_quotas (tenant_id, requests_per_minute, queued_jobs)
SELECT id, 1000000, :queued_jobs FROM one RETURNING tenant_id
"""


def at_once(engine: Engine, tenant_id: UUID, seconds: float) -> float:
    """Admissions of one tenant in a second, from that many threads."""
    stop = threading.Event()

    def ask() -> int:
        count = 0
        while not stop.is_set():
            admission.admit(engine, tenant_id, Asked(1, 20))
            count += 1
        return count

    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(ask) for _ in range(THREADS)]
        time.sleep(seconds)
        stop.set()
        return sum(one.result() for one in asked) / seconds


def rounds(engine: Engine, tenants: int) -> dict[str, float]:
    """How long the chore works in a second, and until every tenant was counted."""
    began = time.perf_counter()
    spent, counted, times = [], 0, 0
    while counted < tenants:
        at = time.perf_counter()
        counted += folding.fold_due(engine, threading.Event())
        spent.append(1000 * (time.perf_counter() - at))
        times += 1
        time.sleep(max(0.0, 1 - (time.perf_counter() - at)))
    return {
        "longest round of the chore, ms": max(spent),
        f"seconds until all {tenants} were counted": time.perf_counter() - began,
    }


def measured(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """All figures over a fresh server."""
    server = EmbeddedPostgres(folder / "postgres")
    url = server.start()
    try:
        plain = create_engine(url)
        with plain.connect() as connection:
            upgrade(connection)
        plain.dispose()
        fill(url, "queued", arguments.rows)
        settings = Settings.model_validate(
            {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"}
        )
        engine = open_engine(settings, application="bench", connections=THREADS)
        counting = open_engine(settings, application="bench", connections=THREADS, durable=False)
        ids = [row.tenant_id for row in run(engine, text(LIMITED),
               {"queued_jobs": 3 * arguments.rows // 2000})]  # fmt: skip
        first = ids[0]
        found = {
            "submit without limits, ms": median_ms(Probe(engine, engine).submit, arguments.times),
            "admission, ms": median_ms(
                lambda: admission.admit(counting, first, Asked(1, 20)), arguments.times
            ),
            f"admissions/s of one tenant, {THREADS} threads": at_once(counting, first, 5),
            "count of one tenant, ms": median_ms(
                lambda: folding.fold(engine, first), arguments.times // 4
            ),
        }
        found |= rounds(engine, len(ids) - 1)
        engine.dispose()
        counting.dispose()
    finally:
        server.remove()
    return found


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        found = measured(folder, arguments)
    for figure, value in found.items():
        print(f"{figure:44}{value:12.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    command = "python -m benchmarks.quotas " + " ".join(sys.argv[1:])
    RESULTS.write_text(json.dumps({"command": command, "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
