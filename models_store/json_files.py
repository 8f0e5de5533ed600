"""JSON that strangers wrote: bounded before it is parsed, strict while it is."""

import json
import re
from itertools import accumulate
from pathlib import Path
from typing import NoReturn

from jobs.errors import ModelRefused

MAX_DEPTH = 64
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def read(path: Path, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> object:
    """The value in a JSON file; `ModelRefused` names the file if it has none."""
    if path.stat().st_size > max_bytes:
        raise ModelRefused(
            f"{path.name} is larger than the {max_bytes:,} bytes that such a file may have; "
            "import the model's original file"
        )
    return parse(path.read_bytes(), where=path.name, max_depth=max_depth)


def read_object(path: Path, *, max_bytes: int) -> dict[str, object]:
    """The object in a JSON file; `ModelRefused` if the file holds anything else."""
    value = read(path, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise ModelRefused(f"{path.name} holds no JSON object; import the model's original file")
    return value


def parse(data: bytes, *, where: str, max_depth: int = MAX_DEPTH) -> object:
    """Strict JSON: UTF-8, no repeated key, no NaN, no deeper than `max_depth`."""
    if depth(data) > max_depth:
        raise ModelRefused(
            f"{where} is nested deeper than {max_depth} levels; no model needs that, "
            "import the model's original file"
        )
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_no_constant,
        )
    except ValueError as error:
        raise ModelRefused(
            f"{where} is not valid JSON ({error}); import the model's original file"
        ) from error


def depth(data: bytes) -> int:
    """How deeply arrays and objects are nested, in time linear in the size.

    The parser recurses, so this is asked first. Escapes go before strings do:
    one expression for both would be quadratic on crafted input.
    """
    brackets = _STRING.sub(b"", _ESCAPE.sub(b"", data)).translate(None, _NOT_BRACKETS)
    steps = (1 if byte in b"[{" else -1 for byte in brackets)
    return max(accumulate(steps), default=0)


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")
