"""`python -m tests.chaos.long_run.batches dirty|smollm2`: long proofs of batches.

dirty     a dirty file of 50,000 lines on the echo engine; the housekeeper is killed
          again and again, at random, while it reads and while it writes
smollm2   500 lines on SmolLM2 with two workers, one of which is killed twice

Prints the seed, every kill and the checker's verdict; ends with 1 if a line is
missing, doubled or wrong.
"""

import argparse
import io
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.chaos.checker import Evidence, check
from tests.chaos.dirty_file import URL, DirtyFile, breaches, dirty_file
from tests.chaos.history import Entry, Kind
from tests.chaos.ledger import read_ledger
from tests.chaos.long_run.__main__ import SMOLLM2
from tests.chaos.long_run.world import Site, World
from tests.conditions import eventually

_SMOLLM2 = {"LMAAS_SLOTS": "16", "LMAAS_THREADS": "1", "LMAAS_LEASE_S": "10",
            "LMAAS_HEARTBEAT_S": "2"}  # fmt: skip
_ENDED = {"completed", "failed", "expired", "cancelled"}


class Proof:
    """One batch in a world of its own, read all the time."""

    def __init__(self, world: World, sent: DirtyFile) -> None:
        self.world, self.sent = world, sent
        world.start()
        self.client = OpenAI(
            base_url=f"{world.stack.http.base_url}/v1", api_key=world.stack.key, max_retries=3
        )
        file = self.client.files.create(file=("in.jsonl", io.BytesIO(sent.data)), purpose="batch")
        given: Any = {"endpoint": URL, "completion_window": "24h"}
        made = self.client.batches.create(input_file_id=file.id, **given)
        self.id, self.began = made.id, time.monotonic()

    def look(self) -> Any:
        """The batch now; what it counts goes to the history."""
        began = time.time()
        told = self.client.batches.retrieve(self.id)
        counts = told.request_counts
        assert counts is not None
        self.world.history.add(
            Entry(Kind.BATCH, began, time.time(), id=self.id, state=told.status,
                  counts=[counts.total, counts.completed, counts.failed])
        )  # fmt: skip
        return told

    def say(self, what: str) -> None:
        """A line of the report, with the seconds since the beginning."""
        print(f"{time.monotonic() - self.began:7.1f} s  {what}", flush=True)

    def reached(self, completed: int) -> None:
        """Waits until so many lines have their answers."""
        eventually(lambda: self.look().request_counts.completed >= completed, within_s=900)

    def ended(self, within_s: float) -> Any:
        """The batch at its end."""
        return eventually(
            lambda: told if (told := self.look()).status in _ENDED else None, within_s=within_s
        )

    def judge(self, told: Any, *, echoed: bool) -> int:
        """Prints what is amiss; the exit code."""
        output, errors = self._content(told.output_file_id), self._content(told.error_file_id)
        amiss = breaches(self.sent, output, errors, echoed=echoed)
        if told.status != "completed":
            amiss.append(f"the batch is {told.status}")
        verdict = check(Evidence(read_ledger(self.world.engine), self.world.history))
        amiss += [str(violation) for violation in verdict.violations]
        self.say(f"{told.status}: {len(output)} answers, {len(errors)} errors, "
                 f"{verdict.recovered} jobs recovered, "
                 f"{len(self.world.history.entries(Kind.BATCH))} reads of counts")  # fmt: skip
        print("\n".join(amiss) or "every line once, every count adds up")
        return 1 if amiss else 0

    def _content(self, file_id: str | None) -> list[dict[str, Any]]:
        told = self.client.files.content(file_id).text if file_id else ""
        return [json.loads(row) for row in told.splitlines()]


def dirty(folder: Path, seed: int, lines: int) -> int:
    """The housekeeper is killed every few seconds until the batch has ended."""
    rng = random.Random(seed)
    world = World(folder, Site())
    over = threading.Event()
    try:
        proof = Proof(world, dirty_file(rng, lines))

        def kill() -> None:
            while not over.wait(rng.uniform(1.0, 20.0)):
                status = proof.client.batches.retrieve(proof.id).status
                world.stack.kill("housekeeper")
                proof.say(f"housekeeper killed, the batch was {status}")
                world.stack.start("housekeeper")

        killer = threading.Thread(target=kill)
        killer.start()
        told = proof.ended(1_800)
        over.set()
        killer.join()
        return proof.judge(told, echoed=True)
    finally:
        over.set()
        world.close()


def smollm2(folder: Path, seed: int, model: Path) -> int:
    """A worker is killed after a third and after two thirds of the lines."""
    rng = random.Random(seed)
    world = World(folder, Site("bench", model, settings=_SMOLLM2, ready_within_s=120))
    try:
        proof = Proof(world, dirty_file(rng, 500, model="bench", dirt=0.05))
        for part in (1, 2):
            proof.reached(part * 150)
            world.kill_child("worker")
            proof.say("worker killed")
        return proof.judge(proof.ended(1_800), echoed=False)
    finally:
        world.close()


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=("dirty", "smollm2"))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--lines", type=int, default=50_000, help="of the mode dirty")
    parser.add_argument("--model", type=Path, default=SMOLLM2, help="of the mode smollm2")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}: {arguments.mode}", flush=True)
    with tempfile.TemporaryDirectory(prefix="lmaas-proof-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        if arguments.mode == "dirty":
            return dirty(folder, arguments.seed, arguments.lines)
        return smollm2(folder, arguments.seed, arguments.model)


if __name__ == "__main__":
    sys.exit(main())
