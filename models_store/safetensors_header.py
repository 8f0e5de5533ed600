"""The header of a safetensors file, read by hand and believed in nothing.

Format: https://github.com/huggingface/safetensors#format. Eight bytes hold
the header's length n (little-endian), n bytes of JSON follow, then the
tensors' bytes without a gap.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ModelRefused
from models_store import json_files

MAX_HEADER_BYTES = 32_000_000
MAX_TENSORS = 100_000
_MAX_DIMENSIONS = 8
# tensor name -> {dtype, shape: [..], data_offsets: [..]}
_MAX_DEPTH = 3

_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
}


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    begin: int
    end: int


def tensor_names(path: Path) -> frozenset[str]:
    """The names of a file's tensors, after the whole layout was checked.

    Raises `ModelRefused` unless the tensors fill the file from the header to
    its last byte, each with the bytes that its dtype and shape need, without
    gap or overlap.
    """
    with path.open("rb") as file:
        start = file.read(8)
        size = path.stat().st_size
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            raise _wrong(path, "its header does not fit the file")
        if length > MAX_HEADER_BYTES:
            raise _wrong(path, f"its header has {length:,} bytes, {MAX_HEADER_BYTES:,} at most")
        content = file.read(length)
    if not content.startswith(b"{"):
        raise _wrong(path, "its header is no JSON object")
    header = json_files.parse(content, where=f"{path.name}'s header", max_depth=_MAX_DEPTH)
    if not isinstance(header, dict):
        raise _wrong(path, "its header is no JSON object")
    _check_metadata(path, header.pop("__metadata__", {}))
    if not 1 <= len(header) <= MAX_TENSORS:
        raise _wrong(path, f"it lists {len(header):,} tensors, not 1 to {MAX_TENSORS:,}")
    tensors = [_tensor(path, name, entry) for name, entry in header.items()]
    _check_layout(path, tensors, data_bytes=size - 8 - length)
    return frozenset(header)


def _wrong(path: Path, what: str) -> ModelRefused:
    return ModelRefused(
        f"{path.name} is not a sound safetensors file: {what}; save or download it again"
    )


def _check_metadata(path: Path, metadata: object) -> None:
    texts = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    if not texts:
        raise _wrong(path, "its metadata is no map of texts")


def _tensor(path: Path, name: str, entry: object) -> _Tensor:
    label = f"tensor {name[:80]!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _wrong(path, f"{label} has not exactly dtype, shape and data_offsets")
    bits = _bits(path, label, entry)
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise _wrong(path, f"{label} has a shape that is no list of sizes")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _wrong(path, f"{label} has data_offsets that are no range")
    begin, end = offsets
    if math.prod(shape) * bits != (end - begin) * 8:
        raise _wrong(path, f"{label} has {end - begin:,} bytes, which its dtype and shape deny")
    return _Tensor(name, begin, end)


def _bits(path: Path, label: str, entry: Mapping[str, object]) -> int:
    dtype = entry["dtype"]
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise _wrong(path, f"{label} has the unknown dtype {str(dtype)[:20]!r}")
    return bits


def _sizes(value: object) -> bool:
    """Whether a value is a list of whole numbers that a file can have room for."""
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < 2**63 for item in value
    )


def _check_layout(path: Path, tensors: list[_Tensor], *, data_bytes: int) -> None:
    position = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != position:
            what = "overlaps the one before it" if tensor.begin < position else "leaves a gap"
            raise _wrong(path, f"tensor {tensor.name[:80]!r} {what}")
        position = tensor.end
    if position != data_bytes:
        what = "ends before its tensors do" if position > data_bytes else "has bytes after them"
        raise _wrong(path, f"its tensors need {position:,} bytes, the file {what}")
