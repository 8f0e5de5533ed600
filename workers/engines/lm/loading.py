"""A model from a local folder: safetensors and tokenizer.json, nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from jobs.errors import ModelRefused
from workers.engines.detokenizer import Vocabulary
from workers.engines.lm import attention, families, fusing
from workers.engines.lm.pool import KvShape


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run and the facts about it that the engine needs."""

    network: PreTrainedModel
    vocabulary: Vocabulary
    context: int
    ends: frozenset[int]
    shape: KvShape


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    """Loads the model of a folder onto a device.

    Reads local files only and runs no code of the folder. Raises
    `UnsupportedModel` or `ModelRefused`.
    """
    families.read_config(folder)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        vocabulary = Vocabulary(Tokenizer.from_file(str(folder / "tokenizer.json")))
        network: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=attention.NAME,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        raise ModelRefused(f"the model in {folder.name} cannot be loaded: {error}") from error
    return describe(network.to(device).eval(), vocabulary)


def describe(
    network: PreTrainedModel, vocabulary: Vocabulary, *, fused: bool = True
) -> LoadedModel:
    """Reads what the engine must know of a model, and lets it run faster
    where the device allows it, unless `fused` is off."""
    config = network.config
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    shape = KvShape(
        layers=config.num_hidden_layers,
        kv_heads=config.num_key_value_heads or heads,
        head_dim=head_dim,
        dtype=network.dtype,
        device=network.device,
    )
    if fused:
        fusing.fuse(network)
    return LoadedModel(
        network, vocabulary, int(config.max_position_embeddings), _ends(network), shape
    )


def _ends(network: PreTrainedModel) -> frozenset[int]:
    """The ids that end a text: one number or a list, of the generation config
    if it names any, as `generate` reads them."""
    generation = getattr(network, "generation_config", None)
    ends = getattr(generation, "eos_token_id", None)
    if ends is None:
        ends = network.config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list | tuple) else [ends])
