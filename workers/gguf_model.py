"""Reading a GGUF file with transformers and saving it as that library's own.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import io
import json
import logging
import struct
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from jobs.errors import ModelRefused, UnsupportedModel
from models_store.model_config import ENGINES

# Tokens that end a turn or a text wherever a vocabulary has them. A GGUF file
# names only one of them.
_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<end_of_turn>", "<eos>", "</s>")
# tokenizer.ggml.pre values whose text is cut into single digits before GPT-2's
# rule; transformers applies GPT-2's rule alone to them.
_SINGLE_DIGITS = frozenset({"smollm", "refact", "command-r", "codeshell", "starcoder"})
_BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def save_as_safetensors(gguf: Path, folder: Path) -> None:
    """Writes config, bfloat16 weights, tokenizer, chat template and generation
    settings of a GGUF model into an existing folder.

    Raises `UnsupportedModel` if no engine runs its architecture, and
    `ModelRefused` if the file cannot be read.
    """
    # Its progress bars and advice are for authors of notebooks.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        with redirect_stderr(io.StringIO()):
            metadata = _metadata(gguf)
            config = _save_weights(gguf, source, folder)
            vocabulary = _save_tokenizer(
                gguf, source, folder, metadata, config.max_position_embeddings
            )
            _save_generation_config(folder, config, vocabulary)
    except _BROKEN as error:
        raise ModelRefused(f"{gguf.name} cannot be converted: {error}") from error


def _metadata(gguf: Path) -> dict[str, Any]:
    """The file's key-value pairs; the longest lists are left as their lengths."""
    from transformers.integrations.gguf.reader import read_gguf_metadata

    metadata: dict[str, Any] = read_gguf_metadata(str(gguf))[0]
    architecture = str(metadata.get("general.architecture"))
    if "lm" not in (ENGINES.get(architecture), ENGINES.get(f"{architecture}_text")):
        raise UnsupportedModel(
            f"{gguf.name} has the architecture {architecture!r}, which has no engine here; "
            f"supported are {', '.join(sorted(ENGINES))}"
        )
    return metadata


def _save_weights(gguf: Path, source: dict[str, Any], folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
        **source,
    )
    model.save_pretrained(folder)
    return model.config


def _save_tokenizer(
    gguf: Path, source: dict[str, Any], folder: Path, metadata: dict[str, Any], length: int
) -> dict[str, int]:
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(gguf.parent, **source)
    if metadata.get("tokenizer.ggml.pre") in _SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )
    tokenizer.model_max_length = length
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for key in ("backend", "is_local", "local_files_only"):
        settings.pop(key, None)
    # The class's name in transformers 4 and 5 alike.
    _write_json(path, settings | {"tokenizer_class": "PreTrainedTokenizerFast"})
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return vocabulary


def _save_generation_config(folder: Path, config: Any, vocabulary: dict[str, int]) -> None:
    """Chats end at the token that ends a turn, plain texts at that of a text."""
    ends = [config.eos_token_id, *(vocabulary.get(token) for token in _ENDS)]
    settings = {
        "bos_token_id": config.bos_token_id,
        "eos_token_id": list(dict.fromkeys(end for end in ends if end is not None)),
        "pad_token_id": config.pad_token_id,
    }
    _write_json(folder / "generation_config.json", settings)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
