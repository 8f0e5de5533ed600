"""config.json: what a model is, and what no model here may ask for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.errors import ModelRefused, UnsupportedModel
from models_store import json_files, sentence_files

MAX_BYTES = 1_000_000

EngineName = Literal["lm", "encoder", "echo"]

# The architectures that an engine under workers/engines/ runs.
ENGINES: Mapping[str, EngineName] = {
    "llama": "lm",
    "qwen2": "lm",
    "qwen3": "lm",
    "gemma3_text": "lm",
    "bert": "encoder",
    "distilbert": "encoder",
    "mpnet": "encoder",
    "roberta": "encoder",
    "xlm-roberta": "encoder",
    "echo": "echo",
}
_CLASSES: Mapping[EngineName, tuple[str, ...]] = {
    "lm": ("ForCausalLM",),
    "encoder": ("Model", "ForMaskedLM"),
    "echo": ("",),
}
# Position numbers that these use for padding and never for a text.
_UNUSED_POSITIONS = {"mpnet": 2, "roberta": 2, "xlm-roberta": 2}
# Many vectors of one result are in one row; no encoder has longer ones.
_LONGEST_VECTOR = 4_096

# Keys by which transformers is told to fetch and run code: custom classes,
# and attention or expert kernels named as a repository on a hub.
_CODE = frozenset(
    {
        "auto_map",
        "trust_remote_code",
        "custom_pipelines",
        "custom_generate",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
    }
)

# Most that a value may be: enough for any real model, too little for a bomb.
_MOST = {
    "max_position_embeddings": 100_000_000,
    "vocab_size": 4_000_000,
    "hidden_size": 131_072,
    "intermediate_size": 1_048_576,
    "num_hidden_layers": 1_024,
    "num_attention_heads": 4_096,
    "num_key_value_heads": 4_096,
    "head_dim": 16_384,
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the rest of LMaaS needs of a model's config.json.

    `context_length` counts tokens; `vocab_size` is `None` where a model reads
    any token (echo).
    """

    model_type: str
    engine: EngineName
    context_length: int
    vocab_size: int | None

    def tasks(self, *, chats: bool) -> tuple[str, ...]:
        """The task types of such a model; `chats` if it has a chat template."""
        writes = ("generate", "chat") if chats else ("generate",)
        return {"lm": writes, "encoder": ("embed",), "echo": (*writes, "embed")}[self.engine]


def read(folder: Path) -> ModelConfig:
    """Reads and checks config.json.

    Raises `UnsupportedModel` for an architecture without an engine and
    `ModelRefused` for anything else that is wrong.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelRefused("config.json is missing; import the folder that holds the whole model")
    config = json_files.read_object(path, max_bytes=MAX_BYTES)
    refuse_code(config, where=path.name)
    engine = _engine(config)
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else {}
    for part in (config, inner):
        for key in _MOST.keys() & part.keys():
            _bounded(key, part[key])
    context_length = _bounded("max_position_embeddings", _either(config, inner))
    if engine == "encoder":
        context_length = _readable_length(folder, config, context_length)
    vocab_size = config.get("vocab_size", inner.get("vocab_size"))
    return ModelConfig(
        model_type=str(config["model_type"]),
        engine=engine,
        context_length=context_length,
        vocab_size=_bounded("vocab_size", vocab_size) if engine != "echo" else None,
    )


def refuse_code(value: object, *, where: str) -> None:
    """Raises if anything in a config, at any depth, would have code loaded or
    names an architecture that no engine runs."""
    for key, item in _walk(value):
        if key in _CODE:
            raise ModelRefused(
                f"{where} has {key!r}, which makes a program load code from elsewhere; remove it "
                "if the model works without, else the model cannot be imported"
            )
        if key == "model_type" and not (isinstance(item, str) and item in ENGINES):
            raise UnsupportedModel(
                f"{where}: the architecture {str(item)[:60]!r} has no engine here; "
                f"supported are {', '.join(sorted(ENGINES))}"
            )
        if key == "quantization_config" and item is not None:
            raise UnsupportedModel(
                f"{where} says that the weights are quantized; import the unquantized model "
                "(a GGUF file is converted by `python -m workers.convert`)"
            )


def _walk(value: object) -> Iterator[tuple[str, object]]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield from item.items()
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _engine(config: Mapping[str, object]) -> EngineName:
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ModelRefused("config.json has no 'model_type'; import the model's original file")
    classes = config.get("architectures") or []
    if not isinstance(classes, list):
        raise ModelRefused("config.json: 'architectures' is no list")
    engine = ENGINES[model_type]
    ends = _CLASSES[engine]
    if classes and not any(str(name).endswith(ends) for name in classes):
        raise UnsupportedModel(
            f"config.json: {str(classes[0])[:60]!r} writes no text and makes no vectors; import a "
            f"model of the class ...{' or ...'.join(ends)}"
        )
    return engine


def _readable_length(folder: Path, config: Mapping[str, object], positions: int) -> int:
    """The most tokens of one text that an encoder reads. Raises if it is no plain encoder."""
    for key, plain in (
        ("is_decoder", False),
        ("add_cross_attention", False),
        ("position_embedding_type", "absolute"),
    ):
        if config.get(key) not in (None, plain):
            raise UnsupportedModel(f"config.json: {key!r} is {str(config[key])[:40]!r}, which no "
                                   f"engine here runs; supported is {plain!r}")  # fmt: skip
    # DistilBERT calls it by another name.
    width = config.get("hidden_size", config.get("dim"))
    if not isinstance(width, int) or not 1 <= width <= _LONGEST_VECTOR:
        raise UnsupportedModel(
            f"config.json: vectors of {str(width)[:40]} numbers; supported are 1 to "
            f"{_LONGEST_VECTOR:,}"
        )
    most = positions - _UNUSED_POSITIONS.get(str(config["model_type"]), 0)
    wanted = sentence_files.read(folder).max_length
    return max(1, min(most, wanted or most))


def _either(config: Mapping[str, object], inner: Mapping[str, object]) -> object:
    key = "max_position_embeddings"
    return config.get(key, inner.get(key))


def _bounded(key: str, value: object) -> int:
    # bool is an int in Python, but no size.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST[key]:
        raise ModelRefused(
            f"config.json: {key!r} is {str(value)[:40]}, not a whole number from 1 to "
            f"{_MOST[key]:,}; import the model's original file"
        )
    return value
