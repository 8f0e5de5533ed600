"""`python -m benchmarks.backlog`: is the queue as quick with a million rows in it?

Submit, tick (release), claim and finish on an empty table, with 1,000,000
queued rows of 1,000 tenants, and with 1,000,000 finished ones, in one run.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, create_engine, text

from bells.celery_app import Bell
from dispatcher.bell_ringer import BellRinger
from dispatcher.cluster_manager import ClusterManager
from dispatcher.job_dispatcher import JobDispatcher
from jobs import leases, tenants
from jobs.database import open_engine
from jobs.envelopes import ClaimedJob, NewJob, Outcome
from jobs.ids import new_id
from jobs.leases import Incarnation
from jobs.settings import Settings
from jobs.states import Priority, State
from jobs.task_manager import TaskManager
from lmaas.local.postgres import EmbeddedPostgres
from migrations.__main__ import upgrade
from tests.conditions import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "backlog.json"
SLOTS = 64

# Ids that sort like UUIDv7 made over the last day; ranks of normal jobs.
FILL = """
INSERT INTO jobs (id, tenant_id, task, model, version, state, priority, client_address, rank,
                  submitted_at, prompt_tokens, max_tokens, finished_at, attempt, finish_reason)
SELECT CAST(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n * 80), 12, '0')
            || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15) AS uuid),
       CAST(md5((n % 1000)::text) AS uuid), 'generate', 'echo', 1, :state, 'normal', '127.0.0.1',
       now() - make_interval(secs => n * 0.08) + interval '30 s',
       now() - make_interval(secs => n * 0.08), 12, 16,
       CASE :state WHEN 'queued' THEN NULL ELSE now() END,
       CASE :state WHEN 'queued' THEN 0 ELSE 1 END,
       CASE :state WHEN 'queued' THEN NULL ELSE 'stop' END
FROM generate_series(1, :rows) n
"""


def fill(url: str, state: str, rows: int) -> None:
    """That many jobs with their inputs, then what autovacuum would do."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(FILL), {"state": state, "rows": rows})
        connection.execute(
            text("INSERT INTO job_inputs SELECT id, '{\"prompt\": \"x\"}', '{}', '{}' FROM jobs j "
                 "WHERE NOT EXISTS (SELECT FROM job_inputs i WHERE i.job_id = j.id)")
        )  # fmt: skip
        for statement in ("VACUUM ANALYZE jobs", "VACUUM ANALYZE job_inputs", "CHECKPOINT"):
            connection.execute(text(statement))
    engine.dispose()


def median_ms(act: Callable[[], object], times: int) -> float:
    """The median of that many runs, after a few to warm up."""
    for _ in range(5):
        act()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        spent.append(time.perf_counter() - began)
    return 1000 * statistics.median(spent)


class Probe:
    """One worker's and one client's view of the queue; `engine` plans as theirs do."""

    def __init__(self, engine: Engine, front: Engine) -> None:
        self._manager = TaskManager(engine)
        self._front = TaskManager(front)
        self._tenant_id = tenants.ensure(engine, "bench")
        who = Incarnation(new_id(), new_id(), "echo", 1, "cpu", "bench", 1, SLOTS)
        leases.open_lease(engine, who, 3600)
        leases.renew(engine, who.id, state="ready", slots=SLOTS, stale_writes=0, lease_s=3600)
        given = {"DATABASE_URL": "postgresql://unused", "REDIS_URL": "redis://127.0.0.1:1/0"}
        unheard = BellRinger(Bell(Settings.model_validate(given)))  # never started
        self._dispatcher = JobDispatcher(self._manager, ClusterManager(engine), unheard)
        self._worker_id: UUID = who.id
        self._claimed: list[list[ClaimedJob]] = []

    def submit(self) -> None:
        """One job."""
        self._front.submit(
            NewJob(id=new_id(), tenant_id=self._tenant_id, task="generate", model="echo", version=1,
                   priority=Priority.NORMAL, client_address="127.0.0.1", input={"prompt": "x"},
                   parameters={"max_tokens": 16}, labels={}, prompt_tokens=1, max_tokens=16)
        )  # fmt: skip

    def tick(self) -> None:
        """One tick of the dispatcher."""
        self._dispatcher.tick()

    def claim(self) -> None:
        """Eight jobs for eight free slots."""
        self._claimed.append(self._manager.claim(self._worker_id, "echo", 1, 8))

    def finish(self) -> None:
        """Their results."""
        jobs = self._claimed.pop() if self._claimed else []
        outcomes = [Outcome(j.id, j.attempt, State.SUCCEEDED, "stop", "x", 1, 0.1) for j in jobs]
        if outcomes:
            self._manager.finish(self._worker_id, outcomes)

    def measure(self, times: int) -> dict[str, float]:
        """Medians of the four, in milliseconds."""
        found = {"submit": median_ms(self.submit, times)}
        for _ in range(8 * times // 10):
            self.submit()
        acts = {"tick": self.tick, "claim of 8": self.claim, "finish of 8": self.finish}
        spent: dict[str, list[float]] = {name: [] for name in acts}
        for _ in range(times // 10):
            for name, act in acts.items():
                began = time.perf_counter()
                act()
                spent[name].append(time.perf_counter() - began)
        found |= {name: 1000 * statistics.median(values) for name, values in spent.items()}
        return found | {"tick that releases nothing": median_ms(self.tick, times)}


def measured(folder: Path, state: str | None, arguments: argparse.Namespace) -> dict[str, float]:
    """The figures over a fresh server, filled first if a state is given."""
    server = EmbeddedPostgres(folder / (state or "empty"))
    url = server.start()
    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            upgrade(connection)
        engine.dispose()
        if state is not None:
            fill(url, state, arguments.rows)
        given = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"}
        settings = Settings.model_validate(given)
        front = open_engine(settings, application="bench-web")
        engine = open_engine(settings, application="bench", plan_once=True)
        found = Probe(engine, front).measure(arguments.times)
        for each in (engine, front):
            each.dispose()
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
        found = {
            "empty": measured(folder, None, arguments),
            "queued": measured(folder, "queued", arguments),
            "finished": measured(folder, "succeeded", arguments),
        }
    print(f"{'milliseconds':28}{'empty':>10}{'queued':>10}{'ratio':>8}{'finished':>10}{'ratio':>8}")
    for figure, base in found["empty"].items():
        queued, finished = found["queued"][figure], found["finished"][figure]
        print(f"{figure:28}{base:10.2f}{queued:10.2f}{queued / base:8.2f}"
              f"{finished:10.2f}{finished / base:8.2f}")  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    command = "python -m benchmarks.backlog " + " ".join(sys.argv[1:])
    RESULTS.write_text(json.dumps({"command": command, "milliseconds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
