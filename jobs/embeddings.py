"""The vectors of a result, as they are stored: base64 of little-endian 32-bit floats.

That is exact, and a quarter of what the same numbers take as JSON.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

_KEY = "embeddings"


def details(vectors: Mapping[int, bytes]) -> dict[str, Any]:
    """What a result holds of the vectors of texts 0 and up."""
    return {_KEY: [b64encode(vectors[number]).decode() for number in sorted(vectors)]}


def of_details(found: Mapping[str, Any] | None) -> list[str]:
    """The vectors of a result in the order of their texts, each as base64."""
    return list((found or {}).get(_KEY, ()))


def numbers(text: str) -> list[float]:
    """The numbers of a vector of a result."""
    return numbers_of(b64decode(text))


def numbers_of(vector: bytes) -> list[float]:
    """The numbers of a vector as engines make it."""
    return list(struct.unpack(f"<{len(vector) // 4}f", vector))
