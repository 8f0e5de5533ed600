"""An encoder from a local folder: safetensors and JSON, nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

from jobs.errors import ModelRefused, UnsupportedModel
from models_store import model_config, sentence_files
from models_store.sentence_files import SentenceConfig


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    """An encoder ready to run; `context` is the most tokens of one text."""

    network: PreTrainedModel
    sentence: SentenceConfig
    context: int
    vocab_size: int


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> LoadedEncoder:
    """Loads the encoder of a folder onto a device.

    Reads local files only and runs no code of the folder. Raises
    `UnsupportedModel` or `ModelRefused`.
    """
    config = model_config.read(folder)
    if config.engine != "encoder" or config.vocab_size is None:
        raise UnsupportedModel(f"{config.model_type!r} is no encoder that runs here")
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        network: Any = AutoModel.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        raise ModelRefused(f"the model in {folder.name} cannot be loaded: {error}") from error
    sentence = sentence_files.read(folder)
    return LoadedEncoder(
        network.to(device).eval(), sentence, config.context_length, config.vocab_size
    )
