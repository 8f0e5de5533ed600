"""Small model folders, sound and otherwise, written by hand."""

import json
from collections.abc import Mapping
from pathlib import Path

from models_store import echo

CONFIG: dict[str, object] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 300,
    "hidden_size": 4,
    "max_position_embeddings": 128,
}
Tensor = Mapping[str, object]


def tensor(begin: int, end: int, *, dtype: str = "U8", shape: object = None) -> Tensor:
    """A header's entry; by default as many bytes as it covers."""
    sizes = [end - begin] if shape is None else shape
    return {"dtype": dtype, "shape": sizes, "data_offsets": [begin, end]}


def safetensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file's bytes; `length` claims another header length than the true one."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    claimed = len(text) if length is None else length
    return claimed.to_bytes(8, "little") + text + data


SOUND_WEIGHTS = safetensors({"w": tensor(0, 8, dtype="F32", shape=[2])}, b"\0" * 8)


def write_json(path: Path, value: object) -> None:
    """Writes a value as JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def write_lm(folder: Path, *, config: Mapping[str, object] | None = None) -> Path:
    """A folder that passes all checks as a Llama model with a byte tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    echo.write_folder(folder)
    write_json(folder / "config.json", {**CONFIG, **(config or {})})
    write_json(folder / "generation_config.json", {"eos_token_id": 256})
    (folder / "model.safetensors").write_bytes(SOUND_WEIGHTS)
    (folder / "README.md").write_text("A tiny model.\n", encoding="utf-8")
    return folder


def write_sharded(folder: Path) -> Path:
    """The same with its weights in two shards and an index."""
    write_lm(folder)
    (folder / "model.safetensors").unlink()
    for number, name in ((1, "a"), (2, "b")):
        shard = safetensors({name: tensor(0, 8)}, b"\0" * 8)
        (folder / shard_name(number)).write_bytes(shard)
    write_index(folder, {"a": shard_name(1), "b": shard_name(2)})
    return folder


def shard_name(number: int) -> str:
    """The name that transformers gives to a shard of two."""
    return f"model-0000{number}-of-00002.safetensors"


def write_index(folder: Path, weight_map: object) -> None:
    """The index of a sharded model."""
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_encoder(folder: Path, *, config: Mapping[str, object] | None = None) -> Path:
    """A folder that passes all checks as a BERT model of sentence-transformers."""
    write_lm(folder)
    for name in ("chat_template.jinja", "generation_config.json"):
        (folder / name).unlink()
    bert = {"model_type": "bert", "architectures": ["BertModel"], "max_position_embeddings": 32}
    write_json(folder / "config.json", {**CONFIG, **bert, **(config or {})})
    modules = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    write_json(
        folder / "modules.json",
        [{"type": f"sentence_transformers.models.{kind}", "path": at} for kind, at in modules],
    )
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    about: dict[str, object] = {
        "model_type": "SentenceTransformer",
        "prompts": {},
        "default_prompt_name": None,
    }
    write_json(folder / "config_sentence_transformers.json", about)
    return folder
