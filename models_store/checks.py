"""Whether a folder may become a model: by its files' names and by their content.

Nothing here runs or unpickles anything. The content is checked on the copy in
the store, so that what was checked is what is kept.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobs.errors import ModelRefused
from models_store import (
    json_files,
    model_config,
    safetensors_header,
    sentence_files,
    tokenizer_files,
)

MAX_FILES = 256
MAX_TOTAL_BYTES = 2_000_000_000_000
_MAX_TEXT_BYTES = 64_000_000
_INDEX = "model.safetensors.index.json"
_MAX_SHARD_BYTES = 100_000_000_000

_CONFIGS = frozenset(
    {
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        sentence_files.LENGTHS,
    }
)
_SENTENCE = frozenset({sentence_files.MODULES, sentence_files.GENERAL})
# JSON whose keys are tokens or tensors: a token may well be spelled "auto_map".
_DATA = frozenset({"tokenizer.json", "added_tokens.json", "vocab.json", _INDEX})
_TEXTS = frozenset({"merges.txt", "vocab.txt", "chat_template.jinja"})
_ABOUT = re.compile(
    r"(README|LICENSE|NOTICE|USE_POLICY)(\.md|\.txt)?|\.gitattributes|data_config\.json"
)
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")

# How files begin that pretend to be something else.
_MAGIC = (
    (b"PK\x03\x04", "a zip archive (PyTorch weights, perhaps)"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"\x89HDF", "an HDF5 file"),
)


def list_files(folder: Path) -> Mapping[str, int]:
    """The names and sizes of a folder's files, if all of them may be a model's.

    Raises `ModelRefused` for a name, kind, size or number that no model has.
    """
    if not folder.is_dir():
        raise ModelRefused(f"{folder} is no folder; name the folder that holds config.json")
    sizes: dict[str, int] = {}
    for path in _paths(folder):
        name = path.relative_to(folder).as_posix()
        _check_name(name)
        sizes[name] = _regular_size(path)
        if len(sizes) > MAX_FILES:
            raise ModelRefused(f"the folder has more than {MAX_FILES} files; no model needs that")
    if sum(sizes.values()) > MAX_TOTAL_BYTES:
        raise ModelRefused(f"the folder has more than {MAX_TOTAL_BYTES:,} bytes")
    if "config.json" not in sizes:
        raise ModelRefused(
            f"config.json is missing in {folder}; name the folder that holds the whole model"
        )
    return sizes


def check_content(folder: Path, names: Mapping[str, int]) -> model_config.ModelConfig:
    """Checks every file's content and that the files belong together.

    Raises `ModelRefused` (or `UnsupportedModel`) naming the file.
    """
    for name in names:
        _check_magic(folder / name)
        if name in _CONFIGS or _is_pooling(name):
            value = json_files.read_object(folder / name, max_bytes=_limit(name))
            model_config.refuse_code(value, where=name)
        elif name in _DATA:
            json_files.read_object(folder / name, max_bytes=_limit(name))
        elif name in _SENTENCE:  # what is in them is checked where they are read
            json_files.read(folder / name, max_bytes=sentence_files.MAX_BYTES)
        elif not name.endswith(".safetensors"):
            _check_text(folder / name)
    config = model_config.read(folder)
    shards = {
        name: safetensors_header.tensor_names(folder / name)
        for name in names
        if name.endswith(".safetensors")
    }
    if shards or config.engine != "echo":
        _check_shards(folder, shards, indexed=_INDEX in names)
    return config


def _paths(folder: Path) -> Iterator[Path]:
    """The folder's files, and those of the folders that sentence-transformers makes."""
    for path in sorted(folder.iterdir()):
        inside = sentence_files.FOLDER.fullmatch(path.name)
        if inside and path.is_dir() and not path.is_symlink():
            yield from sorted(path.iterdir())
        else:
            yield path


def _is_pooling(name: str) -> bool:
    parent, slash, last = name.rpartition("/")
    return bool(slash) and last == "config.json" and bool(sentence_files.FOLDER.fullmatch(parent))


def _check_name(name: str) -> None:
    if name.endswith(_PICKLES):
        raise ModelRefused(
            f"{name[:120]} can hold Python code and is never loaded; convert the weights to "
            "safetensors (save_pretrained writes them) and import that folder"
        )
    if name.endswith(".gguf"):
        raise ModelRefused(
            f"{name[:120]} is a GGUF file; convert it with "
            "`python -m workers.convert --gguf FILE --out FOLDER` and import that folder"
        )
    known = name in _CONFIGS | _DATA | _TEXTS | _SENTENCE or _is_pooling(name)
    if not (known or _SHARD.fullmatch(name) or _ABOUT.fullmatch(name)):
        raise ModelRefused(
            f"{name[:120]!r} is not a file that a model needs here; import a folder with only "
            "safetensors, the config and tokenizer JSON files, the chat template and the README"
        )


def _regular_size(path: Path) -> int:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise ModelRefused(
            f"{path.name} is a symbolic link; import a folder with the files themselves "
            "(`cp -rL FOLDER COPY` makes one)"
        )
    if not stat.S_ISREG(status.st_mode):
        raise ModelRefused(f"{path.name} is no regular file; a model is a flat folder of files")
    if path.suffix == ".safetensors" and status.st_size > _MAX_SHARD_BYTES:
        raise ModelRefused(
            f"{path.name} is larger than {_MAX_SHARD_BYTES:,} bytes; save the model in shards"
        )
    return status.st_size


def _limit(name: str) -> int:
    if name in _DATA:
        return tokenizer_files.MAX_TOKENIZER_BYTES
    small = name == "config.json" or _is_pooling(name)
    return model_config.MAX_BYTES if small else tokenizer_files.MAX_CONFIG_BYTES


def _check_magic(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    for magic, kind in _MAGIC:
        # A safetensors file begins with its header's length, which may look
        # like any short magic; what follows it tells.
        if start.startswith(magic) and not _looks_like_safetensors(path):
            raise ModelRefused(
                f"{path.name} is in truth {kind}; convert the model to safetensors and import that"
            )


def _looks_like_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".safetensors" and file.read(9)[8:] == b"{"


def _check_text(path: Path) -> None:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise ModelRefused(f"{path.name} is larger than {_MAX_TEXT_BYTES:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelRefused(f"{path.name} is no UTF-8 text ({error.reason})") from error
    if "\0" in text:
        raise ModelRefused(f"{path.name} holds NUL characters, so it is no text")


def _check_shards(folder: Path, shards: Mapping[str, frozenset[str]], *, indexed: bool) -> None:
    if not indexed:
        if shards.keys() != {"model.safetensors"}:
            raise ModelRefused(
                f"the folder must hold its weights as model.safetensors, or as shards with {_INDEX}"
                f"; it has {', '.join(sorted(shards)) or 'none'}"
            )
        return
    index = json_files.read_object(folder / _INDEX, max_bytes=_limit(_INDEX))
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelRefused(f"{_INDEX} has no 'weight_map'; save the model again")
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or tensor not in shards.get(shard, frozenset()):
            raise ModelRefused(
                f"{_INDEX} says that {str(shard)[:120]!r} holds {tensor[:80]!r}, and it does not; "
                "download the missing file or save the model again"
            )
    extra = frozenset[str]().union(*shards.values()) - weight_map.keys()
    unused = shards.keys() - set(weight_map.values())
    if extra or unused:
        raise ModelRefused(
            f"{_INDEX} leaves out {min(extra | unused)[:120]!r}; save the model again"
        )
