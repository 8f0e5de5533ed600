"""`python -m benchmarks.engine_throughput --model FOLDER`: tokens per second.

Runs the same requests through this project's engine, transformers' continuous
batching and static `generate`, and times the matrix products alone. All take
turns within each round, so that a machine that slows down slows all of them;
the medians count.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.engine_candidates import OwnEngine, Prompt, Stock, prompts
from benchmarks.workload import jobs
from workers.engines.lm.device import choose_dtype

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
    try:
        for name, (count, at_once) in (QUICK if options.quick else WORKLOADS).items():
            requests = prompts(options.model, jobs(count))
            table[name] = _measure(requests, at_once, own, stock, options.rounds)
            print(_line(name, table[name]), flush=True)
    finally:
        if stock is not None:
            stock.stop()
    _print(table)
    _write(table, options.rounds, str(dtype).removeprefix("torch."))


def _measure(
    requests: list[Prompt], at_once: int, own: OwnEngine, stock: Stock | None, rounds: int
) -> dict[str, float]:
    """Median tokens per second of each candidate."""
    runs: dict[str, Callable[[list[Prompt], int], int]] = {OWN: own.run}
    if stock is not None:
        runs |= {CONTINUOUS: stock.continuous, STATIC: stock.static}
    for run in runs.values():
        run(requests[:8], 8)
    speeds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            tokens = run(requests, at_once)
            speeds.setdefault(name, []).append(tokens / (time.perf_counter() - began))
            if name == OWN:
                products = own.products()
                began = time.perf_counter()
                products()
                bound = tokens / (time.perf_counter() - began)
                speeds.setdefault(PRODUCTS, []).append(bound)
    return {name: statistics.median(found) for name, found in speeds.items()}


def _line(name: str, speeds: dict[str, float]) -> str:
    return f"{name}: " + ", ".join(f"{who} {speed:.0f}" for who, speed in speeds.items())


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
