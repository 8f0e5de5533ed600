"""A folder becomes a model only if every file's name and content may be one's."""

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import ModelRefused
from models_store import checks
from tests.unit.model_store_files import (
    SOUND_WEIGHTS,
    safetensors,
    write_json,
    write_lm,
    write_sharded,
)


def check(folder: Path) -> None:
    checks.check_content(folder, checks.list_files(folder))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n")
    return buffer.getvalue()


def test_sound_folders_pass(tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "single")
    for name in ("LICENSE", "LICENSE.txt", "NOTICE.md", "merges.txt"):
        (folder / name).write_text("text\n", encoding="utf-8")
    write_json(folder / "special_tokens_map.json", {"eos_token": "<|end|>"})
    # The names of tokens are data, however they look.
    write_json(folder / "added_tokens.json", {"auto_map": 301, "model_type": 302})
    write_json(folder / "vocab.json", {"trust_remote_code": 1})
    check(folder)
    check(write_sharded(tmp_path / "sharded"))


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m")
    header = b'{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'.ljust(0x280)
    content = safetensors(header, b"1234")
    assert content.startswith(b"\x80\x02")
    (folder / "model.safetensors").write_bytes(content)
    check(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pytorch_model.bin", "Python code and is never loaded; convert the weights"),
        ("model.pt", "never loaded"),
        ("model.pth", "never loaded"),
        ("optimizer.pkl", "never loaded"),
        ("last.ckpt", "never loaded"),
        ("model.Q4_1.gguf", "python -m workers.convert --gguf"),
        ("modeling_llama.py", "not a file that a model needs"),
        ("adapter_config.json", "not a file that a model needs"),
        ("tokenizer.model", "not a file that a model needs"),
        (".gitignore", "not a file that a model needs"),
        ("config.json.bak", "not a file that a model needs"),
        ("Config.json", "not a file that a model needs"),
        ("model.safetensors\n", "not a file that a model needs"),
        (".safetensors", "not a file that a model needs"),
        ("manifest.json", "not a file that a model needs"),
    ],
)
def test_other_names_are_refused_with_what_to_do(name: str, message: str, tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m")
    (folder / name).write_bytes(b"{}")
    with pytest.raises(ModelRefused, match=message) as refused:
        check(folder)
    assert repr(name)[1:-1] in refused.value.message


def make_link(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").symlink_to("/etc/passwd")


def make_dangling_link(folder: Path) -> None:
    (folder / "LICENSE").symlink_to(folder / "nowhere")


def make_shard_link(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "blob")
    (folder / "model.safetensors").symlink_to(folder.parent / "blob")


def make_pipe(folder: Path) -> None:
    os.mkfifo(folder / "LICENSE")


def make_folder(folder: Path) -> None:
    (folder / "vocab.json").mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_link, "generation_config.json is a symbolic link.*cp -rL"),
        (make_dangling_link, "LICENSE is a symbolic link"),
        (make_shard_link, "model.safetensors is a symbolic link"),
        (make_pipe, "LICENSE is no regular file"),
        (make_folder, "vocab.json is no regular file"),
    ],
)
def test_only_regular_files_are_taken(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = write_lm(tmp_path / "m")
    make(folder)
    with pytest.raises(ModelRefused, match=message):
        check(folder)


DISGUISED = {
    "zip": (zipped(), "is in truth a zip archive"),
    "pickle": (pickle.dumps({"a": 1}, protocol=2), "is in truth a Python pickle"),
    "pickle 4": (pickle.dumps({"a": 1}, protocol=4), "is in truth a Python pickle"),
    "gguf": (b"GGUF\x03\0\0\0", "is in truth a GGUF file"),
    "gzip": (b"\x1f\x8b\x08\0rest", "is in truth a gzip archive"),
    "program": (b"\x7fELF\x02\x01\x01", "is in truth a program"),
}


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "README.md"])
@pytest.mark.parametrize("kind", DISGUISED)
def test_a_disguised_file_is_named_for_what_it_is(name: str, kind: str, tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m")
    content, message = DISGUISED[kind]
    (folder / name).write_bytes(content)
    with pytest.raises(ModelRefused, match=rf"{re.escape(name)} {message}.*convert"):
        check(folder)


def test_a_zip_behind_a_sound_file_is_refused(tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(SOUND_WEIGHTS + zipped())
    with pytest.raises(ModelRefused, match="has bytes after them"):
        check(folder)


@pytest.mark.parametrize(
    "name", ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json"]
)
def test_code_is_refused_in_every_config_file(name: str, tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m")
    write_json(folder / name, {"a": [{"auto_map": {"AutoTokenizer": ["x.T", None]}}]})
    with pytest.raises(ModelRefused, match=rf"{name} has 'auto_map'"):
        check(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", "tokenizer_config.json"])
def test_every_json_file_has_its_depth_bounded(name: str, tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m")
    (folder / name).write_bytes(b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}")
    with pytest.raises(ModelRefused, match=rf"{name} is nested deeper"):
        check(folder)


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\xfe", "no UTF-8 text"), (b"a\0b", "NUL characters")]
)
def test_text_files_hold_text(content: bytes, message: str, tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m")
    (folder / "README.md").write_bytes(content)
    with pytest.raises(ModelRefused, match=rf"README\.md .*{message}"):
        check(folder)
