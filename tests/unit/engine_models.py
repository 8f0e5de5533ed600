"""Tiny random models of every supported family, and ways to run an engine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from jobs.errors import LmaasError
from jobs.logprobs import TokenLogprobs
from workers.engines.detokenizer import Vocabulary
from workers.engines.lm import attention
from workers.engines.lm.engine import LmEngine
from workers.engines.lm.loading import describe
from workers.engines.protocol import (
    Engine,
    FinishReason,
    Grammar,
    Request,
    Sampling,
)

VOCABULARY = 260
CONTEXT = 400
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
WINDOW = 24
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen2-window": (
        Qwen2ForCausalLM,
        Qwen2Config,
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16}),
    "gemma3_text": (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        {
            "head_dim": 16,
            "query_pre_attn_scalar": 20,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
}


@cache
def network(family: str) -> Any:
    """The family's model with transformers' own attention."""
    kind, config, extra = FAMILIES[family]
    torch.manual_seed(7)
    return kind(config(**SIZES, **extra, attn_implementation="eager")).eval()


def byte_vocabulary() -> Vocabulary:
    """One id for each byte, then one special token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    return Vocabulary(tokenizer)


def engine(
    family: str = "llama",
    *,
    slots: int = 16,
    kv_tokens: int = 20_000,
    prompt_tokens_per_step: int = 512,
    ends: int | list[int] | None = None,
    device: str = "cpu",
    fused: bool = True,
) -> LmEngine:
    """An engine with the same weights as `network(family)`."""
    kind, config, extra = FAMILIES[family]
    model = kind(config(**SIZES, **extra, attn_implementation=attention.NAME)).eval()
    model.load_state_dict(network(family).state_dict())
    model.generation_config.eos_token_id = ends
    return LmEngine(
        describe(model.to(device), byte_vocabulary(), fused=fused),
        slots=slots,
        kv_tokens=kv_tokens,
        prompt_tokens_per_step=prompt_tokens_per_step,
    )


def prompts(lengths: Iterable[int], seed: int = 1) -> list[list[int]]:
    """Random prompts of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 256, (n,), generator=generator).tolist() for n in lengths]


def reference(family: str, prompt: Sequence[int], tokens: int) -> list[int]:
    """What `generate` makes of a prompt, alone, greedy."""
    ids = torch.tensor([list(prompt)])
    answer = network(family).generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
    )
    return answer[0, len(prompt) :].tolist()  # type: ignore[no-any-return]


@dataclass
class Completion:
    text: str = ""
    tokens: int = 0
    reason: FinishReason | None = None
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    prompt_logprobs: list[TokenLogprobs] = field(default_factory=list)
    error: LmaasError | None = None


class Driver:
    """Runs an engine and collects what it says, by request id."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.completions: dict[UUID, Completion] = {}

    def add(
        self,
        prompt: Sequence[int],
        max_tokens: int = 20,
        grammar: Grammar | None = None,
        **sampling: Any,
    ) -> UUID:
        id = uuid4()
        options = Sampling(max_tokens=max_tokens, **sampling)
        self.engine.add(Request(id, prompt, options, grammar))
        self.completions[id] = Completion()
        return id

    def step(self) -> None:
        for chunk in self.engine.step():
            completion = self.completions[chunk.id]
            assert completion.reason is None
            assert chunk.completion_tokens == completion.tokens + 1 or not chunk.completion_tokens
            completion.text += chunk.text
            completion.tokens = chunk.completion_tokens
            completion.reason = chunk.finish_reason
            completion.logprobs += chunk.logprobs
            completion.prompt_logprobs += chunk.prompt_logprobs
            completion.error = chunk.error

    def finish(self, most_steps: int = 2000) -> dict[UUID, Completion]:
        for _ in range(most_steps):
            if not self.engine.active:
                return self.completions
            self.step()
        raise AssertionError("the engine did not finish")


def text_of(ids: Sequence[int]) -> str:
    return byte_vocabulary().decode(list(ids))
