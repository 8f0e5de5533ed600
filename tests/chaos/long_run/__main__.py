"""`python -m tests.chaos.long_run random|echo|redis-away|smollm2`: long runs under faults.

random      a schedule of faults drawn from a seed, for as long as is wished
echo        1,000 jobs; one of two workers is killed every 5 s, Redis is flushed
            every 7 s, Postgres is restarted every 20 s
redis-away  Redis is down for two minutes, comes back empty, and goes again
smollm2     SmolLM2 on two workers, one of which is killed once a minute

Prints the seed, every fault as it happens and a table at the end; ends with 1
if anything is amiss.
"""

import argparse
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.long_run.conduct import (
    Plan,
    away_for_minutes,
    both_schedules,
    conduct,
    every,
    flush,
    kill_of_one,
    restart,
)
from tests.chaos.long_run.load import Work
from tests.chaos.long_run.report import judge
from tests.chaos.long_run.world import Site
from tests.conditions import ROOT

SMOLLM2 = ROOT / ".lmaas" / "convert" / "smollm2"
# Bytes, which are the tokens of echo, a second; a job of 100 takes one second.
_ECHO = {"LMAAS_ECHO_TOKENS_PER_S": "100", "LMAAS_SLOTS": "4"}
# Two engines on a few cores: one thread each, and leases that a load outlives.
_SMOLLM2 = {"LMAAS_SLOTS": "8", "LMAAS_THREADS": "1", "LMAAS_LEASE_S": "10",
            "LMAAS_HEARTBEAT_S": "2"}  # fmt: skip


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The run that was asked for."""
    seed, duration_s = arguments.seed, arguments.duration
    if arguments.mode == "random":
        work = Work((20, 300), knocks_per_s=3)
        return Plan("random", Site(settings=_ECHO), work, both_schedules(seed), clients=16,
                    duration_s=duration_s)  # fmt: skip
    if arguments.mode == "echo":
        lanes = every(5, kill_of_one, seed), every(7, flush, seed), every(20, restart, seed)
        return Plan("echo", Site(settings=_ECHO), Work((60, 140), cancels=0.05), lanes,
                    clients=16, duration_s=duration_s, jobs=arguments.jobs)  # fmt: skip
    if arguments.mode == "redis-away":
        away = (every(150, away_for_minutes, seed),)
        return Plan("redis-away", Site(settings=_ECHO), Work((20, 300)), away, clients=8,
                    duration_s=duration_s)  # fmt: skip
    site = Site("bench", arguments.model, settings=_SMOLLM2, ready_within_s=120)
    work = Work((60, 300), more={"model": "bench", "parameters": {"max_tokens": 96}})
    return Plan("smollm2", site, work, (every(60, kill_of_one, seed),), clients=24,
                duration_s=duration_s, exact=False)  # fmt: skip


def main() -> int:
    """Runs it; its folder is removed afterwards if none was named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=("random", "echo", "redis-away", "smollm2"))
    parser.add_argument("--duration", type=float, default=120, help="seconds")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--jobs", type=int, default=1_000, help="of the mode echo")
    parser.add_argument("--model", type=Path, default=SMOLLM2, help="of the mode smollm2")
    parser.add_argument("--folder", type=Path, help="keeps logs and the clients' history there")
    arguments = parser.parse_args()
    plan = plan_of(arguments)
    print(f"seed {arguments.seed}: {plan.name}, {arguments.duration:g} s", flush=True)
    with ExitStack() as stack:
        folder = arguments.folder or Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="lmaas-chaos-", ignore_cleanup_errors=True)
            )
        )
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # Postgres runs as somebody else if root starts it
        return conduct(plan, folder, arguments.seed, lambda run: judge(run, exact=plan.exact))


if __name__ == "__main__":
    sys.exit(main())
