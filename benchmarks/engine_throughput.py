"""`python -m benchmarks.engine_throughput --model FOLDER`: tokens per second.

Runs the same requests through this project's engine, transformers' continuous
batching and static `generate`, and times the matrix products alone. All take
turns within each round, so that a machine that slows down slows all of them;
the medians count.
"""

import argparse
import json
import statistics
from pathlib import Path

import torch

from benchmarks.engine_candidates import OwnEngine, Prompt, Stock, prompts
from benchmarks.workload import jobs
from workers.engines.devices import choose_dtype

RESULT = Path("benchmarks/results/engine.json")
WORKLOADS = {"48 at once": (48, 48), "144 requests, 128 at once": (144, 128)}
QUICK = {"16 at once": (16, 16)}
OWN, PRODUCTS = "this engine", "its matrix products alone"
CONTINUOUS, STATIC = "transformers continuous batching", "generate, batches of 16"


def main() -> None:
    """Measures, prints one table, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="16 requests: does it run at all")
    parser.add_argument("--only-own", action="store_true", help="leave transformers' own out")
    options = parser.parse_args()
    dtype = choose_dtype("auto", torch.device("cpu"))
    own = OwnEngine(options.model, "auto", 128)
    stock = None if options.only_own else Stock(options.model, dtype)
    table = {}
    for name, (count, at_once) in (QUICK if options.quick else WORKLOADS).items():
        requests = prompts(options.model, jobs(count))
        table[name] = _measure(requests, at_once, own, stock, options.rounds)
    _print(table)
    _write(table, options.rounds, str(dtype).removeprefix("torch."))


def _measure(
    requests: list[Prompt], at_once: int, own: OwnEngine, stock: Stock | None, rounds: int
) -> dict[str, float]:
    """Median tokens per second of each candidate."""
    own.run(requests[:8], 8)
    if stock is not None:
        stock.static(requests[:2], 2)
    speeds: dict[str, list[float]] = {}
    for number in range(rounds):
        mine = own.run(requests, at_once)
        runs = {OWN: mine, PRODUCTS: own.products(mine.tokens)}
        if stock is not None:
            runs[CONTINUOUS] = stock.continuous(requests, at_once)
            runs[STATIC] = stock.static(requests, at_once)
        for name, run in runs.items():
            speeds.setdefault(name, []).append(run.speed)
        said = ", ".join(f"{name} {run.speed:.0f}" for name, run in runs.items())
        print(f"{len(requests)} requests, round {number + 1}: {said}", flush=True)
    return {name: statistics.median(found) for name, found in speeds.items()}


def _print(table: dict[str, dict[str, float]]) -> None:
    names = list(table)
    print("\n| completion tokens per second | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    for who in next(iter(table.values())):
        print(f"| {who} | " + " | ".join(f"{table[name][who]:.0f}" for name in names) + " |")


def _write(table: dict[str, dict[str, float]], rounds: int, dtype: str) -> None:
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = [
        {"workload": name, "candidate": who, "value": round(speed, 1), "unit": "tokens/s"}
        for name, speeds in table.items()
        for who, speed in speeds.items()
    ]
    facts = {
        "command": "python -m benchmarks.engine_throughput --model FOLDER",
        "rounds": rounds,
        "statistic": "median",
        "threads": torch.get_num_threads(),
        "dtype": dtype,
        "cpu": torch.cpu.get_capabilities().get("cpu_name", "unknown"),
        "figures": figures,
    }
    RESULT.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
