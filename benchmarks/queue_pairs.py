"""`python -m benchmarks.queue_pairs --before REVISION`: this queue against an older one.

Both stacks are up at once and take turns every few seconds, because a machine that others
use changes its speed within a minute by more than what is looked for. Read the ratios,
which compare neighbours in time. The older revision must run with today's packages.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conditions import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "queue_pairs.json"
SIDE = Path(__file__).with_name("queue_side.py")
RATES = ("jobs_per_s", "submits_per_s", "start_p50_ms")
Round = dict[str, Any]


class Side:
    """A stack of one checkout in a process of its own."""

    def __init__(self, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SIDE)], cwd=checkout, text=True,
            env=os.environ | {"PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def wait_up(self) -> None:
        """Until its workers are ready. Raises if it ended instead."""
        if self._read() != "up":
            raise RuntimeError("a side did not start; its last words are above")

    def play(self, task: str) -> Round:
        """One round."""
        assert self._process.stdin is not None
        self._process.stdin.write(task + "\n")
        self._process.stdin.flush()
        found: Round = json.loads(self._read())
        return found

    def close(self) -> None:
        """Ends the stack and waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """The files of a revision, as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="lmaas-before-") as name:
        subprocess.run(["git", "clone", "-q", str(ROOT), name], check=True)
        subprocess.run(["git", "-C", name, "checkout", "-q", revision], check=True)
        yield Path(name)


def rounds(before: Path, arguments: argparse.Namespace) -> dict[str, list[list[Round]]]:
    """For each kind of round, its pairs: the older one's and this one's, A B B A."""
    tasks = [f"steady {arguments.seconds}", f"burst {arguments.jobs}"]
    found: dict[str, list[list[Round]]] = {task: [] for task in tasks}
    sides = [Side(before), Side(ROOT)]
    try:
        for side in sides:
            side.wait_up()
        for side in sides:
            side.play("steady 3")  # warm
        for number in range(arguments.rounds):
            turns = (0, 1) if number % 2 == 0 else (1, 0)
            for task in tasks:
                pair = {turn: sides[turn].play(task) for turn in turns}
                found[task].append([pair[0], pair[1]])
    finally:
        for side in sides:
            side.close()
    return found


def report(found: dict[str, list[list[Round]]]) -> None:
    """Medians of both sides, and the median of the ratios of each pair."""
    print(f"{'':34}{'before':>10}{'now':>10}{'ratio':>8}")
    for task, pairs in found.items():
        for rate in RATES:
            if rate in pairs[0][0]:
                _line(f"{task}: {rate}", [[side[rate] for side in pair] for pair in pairs])
        spent = [[sum(side["cpu_ms"].values()) for side in pair] for pair in pairs]
        _line(f"{task}: CPU ms a job", spent)
        for kind in sorted(pairs[0][1]["cpu_ms"]):
            _line(f"    {kind}", [[side["cpu_ms"].get(kind, 0.0) for side in p] for p in pairs])


def _line(name: str, pairs: list[list[float]]) -> None:
    before, now = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratios = [pair[1] / pair[0] for pair in pairs if pair[0]]
    ratio = f"{statistics.median(ratios):8.2f}" if ratios else ""
    print(f"{name:34}{before:10.2f}{now:10.2f}{ratio}")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="a revision, as git names it")
    parser.add_argument("--rounds", type=int, default=20, help="pairs of each kind")
    parser.add_argument("--seconds", type=float, default=3, help="of a steady round")
    parser.add_argument("--jobs", type=int, default=1500, help="of a burst")
    arguments = parser.parse_args()
    with checkout(arguments.before) as before:
        found = rounds(before, arguments)
    report(found)
    command = "python -m benchmarks.queue_pairs " + " ".join(sys.argv[1:])
    RESULTS.write_text(json.dumps({"command": command, "rounds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
