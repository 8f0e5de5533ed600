"""What a model's tokenizer files say beside the tokenizer itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram, WordPiece

from jobs.errors import ModelRefused, UnsupportedModel
from models_store import json_files

MAX_CONFIG_BYTES = 16_000_000
MAX_TEMPLATE_BYTES = 1_000_000
MAX_TOKENIZER_BYTES = 100_000_000
# What the tests of each kind of engine have met.
_KINDS = {"lm": (BPE,), "encoder": (WordPiece, BPE, Unigram)}
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """The parts of tokenizer_config.json and its neighbours that prompts need.

    What is added around a prompt is not one of them: tokenizer.json says it.
    """

    special_tokens: Mapping[str, str]
    template: str | None
    split_special_tokens: bool


def read_config(folder: Path) -> TokenizerConfig:
    """Reads the files of a model; `ModelRefused` names the one that is wrong."""
    config = _optional(folder / "tokenizer_config.json")
    return TokenizerConfig(
        special_tokens=_special_tokens(folder, config),
        template=_template(folder, config),
        split_special_tokens=bool(config.get("split_special_tokens")),
    )


def read_tokenizer(folder: Path, config: TokenizerConfig, engine: str) -> Tokenizer:
    """The tokenizer, without the truncation and padding of its training days.

    Raises `ModelRefused` if tokenizer.json holds no tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.is_file() or path.stat().st_size > MAX_TOKENIZER_BYTES:
        raise ModelRefused(
            "tokenizer.json is missing or larger than "
            f"{MAX_TOKENIZER_BYTES:,} bytes; every model needs one, save it with the model's "
            "tokenizer"
        )
    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except ValueError as error:
        raise ModelRefused(
            f"tokenizer.json holds no tokenizer ({error}); import the model's original file"
        ) from error
    _check_model(tokenizer, engine)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = config.split_special_tokens
    return tokenizer


def _check_model(tokenizer: Tokenizer, engine: str) -> None:
    """Refuses what would make encoding fail or vary from call to call."""
    model = tokenizer.model
    kinds = _KINDS["encoder" if engine == "encoder" else "lm"]
    if not isinstance(model, kinds):
        raise UnsupportedModel(
            f"tokenizer.json holds a {type(model).__name__} tokenizer; such architectures have "
            f"{' or '.join(kind.__name__ for kind in kinds)}"
        )
    if isinstance(model, Unigram):
        return
    if isinstance(model, BPE) and model.dropout:
        raise ModelRefused("tokenizer.json sets BPE 'dropout', a training option; set it to null")
    if model.unk_token is not None and tokenizer.token_to_id(model.unk_token) is None:
        raise ModelRefused(
            f"tokenizer.json names the unknown token {model.unk_token[:40]!r} and does not have "
            "it; import the model's original file"
        )


def _special_tokens(folder: Path, config: Mapping[str, object]) -> dict[str, str]:
    sources = [config]
    if "added_tokens_decoder" not in config:
        # Older models keep them in a file of their own, which then counts more.
        sources.append(_optional(folder / "special_tokens_map.json"))
    found: dict[str, str] = {}
    for source in sources:
        for key in (*_SPECIAL, "mask_token"):
            value = source.get(key)
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                found[key] = text
    return found


def _template(folder: Path, config: Mapping[str, object]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        if path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise ModelRefused(f"{path.name} is larger than {MAX_TEMPLATE_BYTES:,} bytes")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ModelRefused(f"{path.name} is no UTF-8 text ({error})") from error
    value = config.get("chat_template")
    if isinstance(value, list):
        value = _default_template(value)
    if value is not None and not isinstance(value, str):
        raise ModelRefused("tokenizer_config.json: 'chat_template' is neither a text nor a list")
    return value


def _default_template(named: list[object]) -> str:
    for item in named:
        if isinstance(item, dict) and item.get("name") == "default":
            template = item.get("template")
            if isinstance(template, str):
                return template
    raise ModelRefused(
        "tokenizer_config.json lists chat templates but none is called 'default'; name the one "
        "that chats shall use"
    )


def _optional(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    return json_files.read_object(path, max_bytes=MAX_CONFIG_BYTES)
