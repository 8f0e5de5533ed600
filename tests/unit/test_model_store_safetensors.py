"""A safetensors header is believed in nothing."""

import json
from pathlib import Path

import pytest

from jobs.errors import ModelRefused
from models_store import safetensors_header
from tests.unit.model_store_files import safetensors, tensor


def names(tmp_path: Path, content: bytes) -> frozenset[str]:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    return safetensors_header.tensor_names(path)


def test_a_sound_file_tells_its_tensors(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "late": tensor(16, 22, dtype="BF16", shape=[1, 3]),
        "early": tensor(0, 16, dtype="F32", shape=[2, 2]),
        "scalar": tensor(22, 30, dtype="I64", shape=[]),
        "empty": tensor(30, 30, dtype="F16", shape=[0, 5]),
    }
    assert names(tmp_path, safetensors(header, b"x" * 30)) == {"late", "early", "scalar", "empty"}


def test_spaces_after_the_header_are_part_of_the_format(tmp_path: Path) -> None:
    header = json.dumps({"w": tensor(0, 4)}).encode() + b" " * 5
    assert names(tmp_path, safetensors(header, b"1234")) == {"w"}


W4 = {"w": tensor(0, 4)}
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "header does not fit"),
    "seven bytes": (b"1234567", "header does not fit"),
    "header longer than the file": (safetensors(W4, b"1234", length=10_000), "does not fit"),
    "header length of 2^64-1": (b"\xff" * 8 + b"{}", "does not fit"),
    "header length negative if signed": (safetensors(W4, b"1234", length=2**63), "does not fit"),
    "header cut short": (safetensors(W4, b"1234", length=20), "not valid JSON"),
    "no object": (safetensors(b"[]"), "no JSON object"),
    "leading space": (safetensors(b" {}"), "no JSON object"),
    "not UTF-8": (safetensors(b'{"\xff": 1}'), "not valid JSON"),
    "key twice": (
        safetensors(
            b'{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
            b'"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
            b"1234",
        ),
        "same key twice",
    ),
    "no tensors": (safetensors({"__metadata__": {}}), "lists 0 tensors"),
    "metadata of numbers": (safetensors({"__metadata__": {"a": 1}, **W4}, b"1234"), "metadata"),
    "metadata a list": (safetensors({"__metadata__": [], **W4}, b"1234"), "metadata"),
    "trailing bytes": (safetensors(W4, b"1234PK"), "has bytes after them"),
    "data missing": (safetensors(W4, b"123"), "ends before its tensors"),
    "overlap": (
        safetensors({"a": tensor(0, 4), "b": tensor(2, 6)}, b"123456"),
        "'b' overlaps",
    ),
    "same bytes twice": (safetensors({"a": tensor(0, 4), "b": tensor(0, 4)}, b"1234"), "overlaps"),
    "gap between": (safetensors({"a": tensor(0, 2), "b": tensor(3, 4)}, b"1234"), "leaves a gap"),
    "gap before": (safetensors({"a": tensor(1, 4)}, b"1234"), "leaves a gap"),
    "backwards": (safetensors({"a": tensor(4, 0, shape=[0])}, b"1234"), "no range"),
    "negative offset": (safetensors({"a": tensor(-4, 0)}, b"1234"), "no range"),
    "huge offset": (safetensors({"a": tensor(0, 2**70, shape=[4])}, b"1234"), "no range"),
    "float offset": (
        safetensors({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4.0]}}, b"1234"),
        "no range",
    ),
    "three offsets": (
        safetensors({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 2, 4]}}, b"1234"),
        "no range",
    ),
    "dtype and shape need more": (
        safetensors({"a": tensor(0, 4, dtype="F32", shape=[2])}, b"1234"),
        "dtype and shape deny",
    ),
    "shape overflows 64 bits": (
        safetensors({"a": tensor(0, 0, dtype="U8", shape=[2**62, 2**62])}),
        "dtype and shape deny",
    ),
    "negative shape": (safetensors({"a": tensor(0, 4, shape=[-2, -2])}, b"1234"), "list of sizes"),
    "truth as a size": (safetensors({"a": tensor(0, 1, shape=[True])}, b"1"), "list of sizes"),
    "nine dimensions": (safetensors({"a": tensor(0, 1, shape=[1] * 9)}, b"1"), "list of sizes"),
    "unknown dtype": (safetensors({"a": tensor(0, 4, dtype="PICKLE")}, b"1234"), "dtype 'PICKLE'"),
    "dtype a number": (
        safetensors({"a": {"dtype": 1, "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
        "unknown dtype",
    ),
    "tensor without shape": (safetensors({"a": {"dtype": "U8"}}, b"1234"), "not exactly dtype"),
    "tensor with more": (
        safetensors({"a": {**tensor(0, 4), "code": "x"}}, b"1234"),
        "not exactly dtype",
    ),
    "tensor a text": (safetensors({"a": "b"}, b"1234"), "not exactly dtype"),
    "nested deeply": (safetensors(b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}"), "deeper than 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_with_its_name_and_what_is_wrong(
    case: str, tmp_path: Path
) -> None:
    content, message = BROKEN[case]
    with pytest.raises(ModelRefused, match=message) as refused:
        names(tmp_path, content)
    assert refused.value.message.startswith("model.safetensors")


def test_a_header_beyond_the_bound_is_not_even_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors_header, "MAX_HEADER_BYTES", 40)
    with pytest.raises(ModelRefused, match="40 at most"):
        names(tmp_path, safetensors(W4, b"1234"))


def test_more_tensors_than_the_bound_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors_header, "MAX_TENSORS", 1)
    with pytest.raises(ModelRefused, match="lists 2 tensors"):
        names(tmp_path, safetensors({"a": tensor(0, 2), "b": tensor(2, 4)}, b"1234"))
