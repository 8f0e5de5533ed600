"""`python -m benchmarks.embedding_throughput`: texts per second with MiniLM.

The same texts of mixed length through the encoder engine, through a loop of one text
after the other, through batches of 32 in the order they came (padded to the longest,
as sentence-level loops do it), and through one batch of all. All take turns within
each round; the medians count. Tokenizing is counted for all of them.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from jobs.ids import new_id
from models_store.prompt import PromptRenderer
from tests.minilm import minilm
from workers.engines.encoder import EncoderEngine
from workers.engines.encoder.pooling import pool, unit
from workers.engines.protocol import Texts

RESULT = Path("benchmarks/results/embeddings.json")
_PROSE = ("the night train to Madrid was late and nobody at the station knew why or said so "
          "though rain fell on the roof and a child asked for bread")  # fmt: skip


def texts(count: int, seed: int = 20) -> list[str]:
    """Mostly sentences, some paragraphs: 5 to 200 words."""
    chance = random.Random(seed)
    lengths = [min(200, max(5, round(chance.lognormvariate(3, 0.8)))) for _ in range(count)]
    return [" ".join(chance.choices(_PROSE.split(), k=length)) for length in lengths]


class Plain:
    """transformers alone, in one process."""

    def __init__(self, folder: Path, renderer: PromptRenderer) -> None:
        self._renderer = renderer
        self._network: Any = AutoModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        ).eval()

    @torch.inference_mode()
    def run(self, some: Sequence[str], at_once: int) -> None:
        """Vectors of all, in batches as the texts come."""
        for begin in range(0, len(some), at_once):
            tokens = [self._renderer.tokens(text) for text in some[begin : begin + at_once]]
            longest = max(map(len, tokens))
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in tokens])
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
            states = self._network(input_ids=ids, attention_mask=mask).last_hidden_state
            unit(pool(states, mask, "mean"))


def engine_run(engine: EncoderEngine, renderer: PromptRenderer, some: Sequence[str]) -> None:
    """Vectors of all, as jobs of 16 texts each."""
    for begin in range(0, len(some), 16):
        engine.add(Texts(new_id(), [renderer.tokens(text) for text in some[begin : begin + 16]]))
    while engine.active:
        engine.step()


def main() -> None:
    """Measures, prints one table, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = minilm()
    renderer = PromptRenderer.load(folder)
    engine = EncoderEngine.load(folder, device="cpu", dtype="auto", slots=1024, threads=0)
    plain = Plain(folder, renderer)
    some = texts(options.texts)
    candidates: dict[str, Callable[[], None]] = {
        "this engine": lambda: engine_run(engine, renderer, some),
        "one text after the other": lambda: plain.run(some, 1),
        "batches of 32 as they come": lambda: plain.run(some, 32),
        "one batch of all": lambda: plain.run(some, len(some)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in candidates}
    engine_run(engine, renderer, some[:64])
    plain.run(some[:64], 32)
    for number in range(options.rounds):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            speeds[name].append(len(some) / (time.perf_counter() - began))
        said = ", ".join(f"{name} {found[-1]:.0f}" for name, found in speeds.items())
        print(f"round {number + 1}: {said}", flush=True)
    _report({name: statistics.median(found) for name, found in speeds.items()}, speeds, options)


def _report(
    medians: dict[str, float], speeds: dict[str, list[float]], options: argparse.Namespace
) -> None:
    own = medians["this engine"]
    print("\n| | texts/s | ratio |\n|---|---:|---:|")
    for name, speed in medians.items():
        print(f"| {name} | {speed:.0f} | {speed / own:.2f} |")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "command": f"python -m benchmarks.embedding_throughput --texts {options.texts} "
        f"--rounds {options.rounds}",
        "unit": "texts/s",
        "statistic": "median",
        "threads": torch.get_num_threads(),
        "cpu": torch.cpu.get_capabilities().get("cpu_name", "unknown"),
        "medians": {name: round(speed, 1) for name, speed in medians.items()},
        "rounds": {name: [round(one, 1) for one in found] for name, found in speeds.items()},
    }
    RESULT.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
