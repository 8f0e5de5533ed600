"""Which architectures this engine runs.

Each one here is tested equal to transformers' `generate`; any other is
refused by name, because an attention variant that nobody tested (soft caps,
chunks, shared layers) gives wrong text without an error.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.errors import ModelRefused, UnsupportedModel

SUPPORTED = ("gemma3_text", "llama", "qwen2", "qwen3")
# Other kinds scale with the longest sequence seen, so that a neighbour would
# change a sequence's text.
_ROPE_TYPES = ("default", "linear", "llama3", "yarn")


def check(config: Mapping[str, Any]) -> None:
    """Raises `UnsupportedModel` unless this engine runs such a model."""
    kind = config.get("model_type")
    if kind not in SUPPORTED:
        raise UnsupportedModel(
            f"model_type {kind!r} has no tested engine here; supported: {', '.join(SUPPORTED)}"
        )
    if config.get("auto_map"):
        raise UnsupportedModel("the model brings its own code (auto_map), which never runs here")
    if config.get("attn_logit_softcapping") or config.get("use_bidirectional_attention"):
        raise UnsupportedModel(f"this {kind} uses an attention variant that is not supported")
    for rope in _rope_types(config):
        if rope not in _ROPE_TYPES:
            raise UnsupportedModel(
                f"rope type {rope!r} is not supported; supported: {', '.join(_ROPE_TYPES)}"
            )


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json, checked; raises `ModelRefused` or `UnsupportedModel`."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelRefused(f"config.json cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelRefused("config.json is not an object")
    check(config)
    return config


def _rope_types(config: Mapping[str, Any]) -> list[str]:
    """Rope types of a config, in its flat, per-layer-type and old forms."""
    found: list[str] = []
    for key in ("rope_parameters", "rope_scaling"):
        value = config.get(key)
        if not isinstance(value, Mapping):
            continue
        parts = [part for part in value.values() if isinstance(part, Mapping)] or [value]
        found += [str(part.get("rope_type", part.get("type", "default"))) for part in parts]
    return found
