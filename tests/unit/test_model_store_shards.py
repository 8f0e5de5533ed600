"""Weights and their index fit together, and a folder stays within bounds."""

from pathlib import Path

import pytest

from jobs.errors import ModelRefused
from models_store import checks
from tests.unit.model_store_files import (
    safetensors,
    shard_name,
    tensor,
    write_index,
    write_lm,
    write_sharded,
)


def check(folder: Path) -> None:
    checks.check_content(folder, checks.list_files(folder))


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": shard_name(1), "b": "../../etc/passwd"}, "'../../etc/passwd' holds 'b'"),
        ({"a": shard_name(1), "b": "model-3.safetensors"}, "'model-3.safetensors' holds 'b'"),
        ({"a": shard_name(1), "b": "tokenizer.json"}, "'tokenizer.json' holds 'b'"),
        ({"a": shard_name(2), "b": shard_name(2)}, "holds 'a', and it does not"),
        ({"a": shard_name(1), "b": 7}, "'7' holds 'b'"),
        ({"a": shard_name(1)}, "leaves out 'b'"),
        ({}, "no 'weight_map'"),
        ([], "no 'weight_map'"),
    ],
)
def test_the_index_and_the_shards_say_the_same(
    weight_map: object, message: str, tmp_path: Path
) -> None:
    folder = write_sharded(tmp_path / "m")
    write_index(folder, weight_map)
    with pytest.raises(ModelRefused, match=message):
        check(folder)


def test_weights_are_one_file_or_shards_with_an_index(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "m")
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(ModelRefused, match=f"it has {shard_name(1)}, {shard_name(2)}"):
        check(folder)
    for number in (1, 2):
        (folder / shard_name(number)).unlink()
    with pytest.raises(ModelRefused, match="it has none"):
        check(folder)


def test_a_shard_that_the_index_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "m")
    extra = safetensors({"a": tensor(0, 1)}, b"1")
    (folder / "extra.safetensors").write_bytes(extra)
    with pytest.raises(ModelRefused, match=r"leaves out 'extra\.safetensors'"):
        check(folder)


def test_caps_on_count_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_lm(tmp_path / "m")
    monkeypatch.setattr(checks, "MAX_TOTAL_BYTES", 100)
    with pytest.raises(ModelRefused, match="more than 100 bytes"):
        checks.list_files(folder)
    monkeypatch.setattr(checks, "MAX_FILES", 3)
    with pytest.raises(ModelRefused, match="more than 3 files"):
        checks.list_files(folder)


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="is no folder"):
        checks.list_files(tmp_path / "nowhere")
    with pytest.raises(ModelRefused, match=r"config\.json is missing"):
        checks.list_files(tmp_path)
