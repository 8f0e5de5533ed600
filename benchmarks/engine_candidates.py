"""The engine and what else could run the same requests in one process."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from benchmarks.workload import Job
from models_store.prompt import PromptRenderer
from workers.engines.lm import LmEngine, packing
from workers.engines.lm.batch import Batch
from workers.engines.protocol import Request, Sampling

Prompt = tuple[list[int], int]
_STATIC_BATCH = 16


def prompts(folder: Path, jobs: list[Job]) -> list[Prompt]:
    """Token ids and the most new tokens of each job."""
    renderer = PromptRenderer.load(folder)
    texts = [renderer.chat([{"role": "user", "content": job.message}]) for job in jobs]
    ids = [renderer.encode(text, special=False) for text in texts]
    return [(tokens, job.max_tokens) for tokens, job in zip(ids, jobs, strict=True)]


@dataclass(frozen=True, slots=True)
class Run:
    """Completion tokens made, and how long that took."""

    tokens: int
    seconds: float

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


class Recorder(LmEngine):
    """The engine, remembering how many rows each step had."""

    rows: list[tuple[int, int]]

    def _run(self, batch: Batch) -> torch.Tensor:
        self.rows.append((batch.ids.shape[1], len(batch.wanted)))
        return super()._run(batch)


class OwnEngine:
    """This project's engine."""

    def __init__(self, folder: Path, dtype: str, slots: int) -> None:
        engine = Recorder.load(
            folder, device="cpu", dtype=dtype, slots=slots, kv_tokens=0, threads=0
        )
        assert isinstance(engine, Recorder)
        self.engine = engine

    def run(self, requests: list[Prompt], at_once: int) -> Run:
        """Runs all requests, `at_once` together."""
        self.engine.rows = []
        began = time.perf_counter()
        left = list(reversed(requests))
        tokens = 0
        while left or self.engine.active:
            while left and self.engine.active < at_once:
                prompt, most = left.pop()
                self.engine.add(Request(uuid4(), prompt, Sampling(max_tokens=most)))
            ended = (chunk for chunk in self.engine.step() if chunk.finish_reason)
            tokens += sum(chunk.completion_tokens for chunk in ended)
        return Run(tokens, time.perf_counter() - began)

    @torch.inference_mode()
    def products(self, tokens: int) -> Run:
        """The packed matrix products of the last run's steps and nothing
        else: the engine cannot be faster than this."""
        network: Any = self.engine._model.network
        layers = [m for m in network.model.modules() if isinstance(m, packing.PackedLinear)]
        steps = list(self.engine.rows)
        widest = max(rows for rows, _ in steps)
        inputs = {
            layer.packed.shape[1]: torch.randn(widest, layer.packed.shape[1]).to(network.dtype)
            for layer in (*layers, network.lm_head)
        }

        began = time.perf_counter()
        for rows, wanted in steps:
            for layer in layers:
                layer(inputs[layer.packed.shape[1]][:rows])
            network.lm_head(inputs[network.lm_head.packed.shape[1]][:wanted])
        return Run(tokens, time.perf_counter() - began)


class Stock:
    """The model as transformers runs it, with its own scaled_dot_product_attention."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.model = model.eval()
        ends = self.model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])
        self.pad = min(self.ends)

    def static(self, requests: list[Prompt], _: int) -> Run:
        """`generate` in batches, each as long as its longest request."""
        began = time.perf_counter()
        tokens = 0
        for first in range(0, len(requests), _STATIC_BATCH):
            tokens += self._static_batch(requests[first : first + _STATIC_BATCH])
        return Run(tokens, time.perf_counter() - began)

    def _static_batch(self, batch: list[Prompt]) -> int:
        width = max(len(prompt) for prompt, _ in batch)
        padded = [[self.pad] * (width - len(prompt)) + prompt for prompt, _ in batch]
        seen = [[0] * (width - len(p)) + [1] * len(p) for p, _ in batch]
        answers = self.model.generate(
            torch.tensor(padded),
            attention_mask=torch.tensor(seen),
            max_new_tokens=max(most for _, most in batch),
            do_sample=False,
            pad_token_id=self.pad,
        )
        rows = answers[:, width:].tolist()
        return sum(self._used(row[:most]) for row, (_, most) in zip(rows, batch, strict=True))

    def _used(self, ids: list[int]) -> int:
        """How many of a row's tokens its request asked for."""
        return next((i + 1 for i, token in enumerate(ids) if token in self.ends), len(ids))

    def continuous(self, requests: list[Prompt], _: int) -> Run:
        """Continuous batching as transformers has it, which takes all that fit.

        Its thread is started, warmed and ended around the measured part: an
        idle one takes processor time from the others.
        """
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            eos_token_id=sorted(self.ends),
            pad_token_id=self.pad,
            max_new_tokens=128,
        )
        manager = self.model.init_continuous_batching(generation_config=config)
        manager.start()
        try:
            self._collect(manager, requests[:4])
            began = time.perf_counter()
            tokens = self._collect(manager, requests)
            return Run(tokens, time.perf_counter() - began)
        finally:
            manager.stop(block=True)

    @staticmethod
    def _collect(manager: Any, requests: list[Prompt]) -> int:
        for prompt, most in requests:
            manager.add_request(prompt, max_new_tokens=most)
        tokens = ended = 0
        while ended < len(requests):
            answer = manager.get_result(timeout=60)
            if answer is not None and answer.is_finished():
                ended += 1
                tokens += len(answer.generated_tokens)
        return tokens
