"""How an encoder's states become one vector: the JSON files of sentence-transformers.

Of that library's modules a model may have the transformer itself, one pooling and
one normalisation. Their names are compared, never imported.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from jobs.errors import ModelRefused, UnsupportedModel
from models_store import json_files

MODULES = "modules.json"
LENGTHS = "sentence_bert_config.json"
GENERAL = "config_sentence_transformers.json"
# The folders beside the weights that a model may have.
FOLDER = re.compile(r"[0-9]_(Pooling|Normalize)")
MAX_BYTES = 1_000_000

Pooling = Literal["mean", "cls", "max", "mean_sqrt_len_tokens"]
_OLD_KEYS: Mapping[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
}


@dataclass(frozen=True, slots=True)
class SentenceConfig:
    """`max_length` counts tokens, with those that are added; None: the model's own."""

    pooling: Pooling = "mean"
    normalize: bool = False
    max_length: int | None = None


def read(folder: Path) -> SentenceConfig:
    """Reads the files that are there; a model without them has mean pooling, as
    sentence-transformers does it.

    Raises `ModelRefused` or `UnsupportedModel` naming the file.
    """
    _check_general(folder / GENERAL)
    kinds = _modules(folder / MODULES)
    pooling = _pooling(folder / kinds["Pooling"]) if kinds.get("Pooling") else "mean"
    return SentenceConfig(pooling, "Normalize" in kinds, _max_length(folder / LENGTHS))


def _modules(path: Path) -> dict[str, str]:
    """Each module's kind and folder."""
    if not path.is_file():
        return {}
    listed = json_files.read(path, max_bytes=MAX_BYTES)
    found: dict[str, str] = {}
    for module in listed if isinstance(listed, list) else [None]:
        if not isinstance(module, dict):
            raise ModelRefused(f"{MODULES} is no list of modules; import the model's original file")
        package, _, kind = str(module.get("type")).rpartition(".")
        place = module.get("path", "")
        known = kind in ("Transformer", "Pooling", "Normalize")
        if not known or package.partition(".")[0] != "sentence_transformers" or kind in found:
            raise UnsupportedModel(
                f"{MODULES} has {str(module.get('type'))[:80]!r}; supported are one Transformer, "
                "one Pooling and one Normalize of sentence_transformers"
            )
        if not isinstance(place, str) or (place and not FOLDER.fullmatch(place)):
            raise ModelRefused(f"{MODULES} names the folder {str(place)[:80]!r}; no model needs it")
        found[kind] = place
    return found


def _pooling(folder: Path) -> Pooling:
    path = folder / "config.json"
    where = f"{folder.name}/{path.name}"
    if not path.is_file():
        raise ModelRefused(f"{where} is missing, and {MODULES} names it")
    config = json_files.read_object(path, max_bytes=MAX_BYTES)
    if config.get("include_prompt") is False:
        raise UnsupportedModel(f"{where} leaves prompts out of the mean; that is not supported")
    chosen: list[object] = [mode for key, mode in _OLD_KEYS.items() if config.get(key)]
    others = [key for key, on in config.items() if key.startswith("pooling_mode_") and on]
    if "pooling_mode" in config:
        mode = config["pooling_mode"]
        chosen = mode if isinstance(mode, list) else [mode]
    for known in _OLD_KEYS.values():
        if chosen == [known] and len(others) <= 1:
            return known
    raise UnsupportedModel(
        f"{where} pools by {str(chosen or others)[:80]}; supported is one of "
        f"{', '.join(get_args(Pooling))}"
    )


def _max_length(path: Path) -> int | None:
    if not path.is_file():
        return None
    config = json_files.read_object(path, max_bytes=MAX_BYTES)
    if config.get("do_lower_case"):
        raise UnsupportedModel(
            f"{LENGTHS} has texts lowered before they are tokenized; that is not supported"
        )
    length = config.get("max_seq_length")
    if length is None:
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ModelRefused(
            f"{LENGTHS}: 'max_seq_length' is {str(length)[:40]}, no number of tokens"
        )
    return length


def _check_general(path: Path) -> None:
    if not path.is_file():
        return
    config = json_files.read_object(path, max_bytes=MAX_BYTES)
    if config.get("default_prompt_name") is not None:
        raise UnsupportedModel(
            f"{GENERAL} puts a prompt before every text; that is not supported: set "
            "'default_prompt_name' to null and send the prompt with the text"
        )
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise UnsupportedModel(f"{GENERAL}: only a model of the type SentenceTransformer embeds")
