"""What the echo engine makes of texts: vectors that are a hash of their tokens."""

import hashlib
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from workers.engines.protocol import Chunk, Texts, Vector

WIDTH = 64


def vector(tokens: Sequence[int]) -> bytes:
    """A vector of length 1, the same for the same tokens and for no others."""
    text = ",".join(map(str, tokens)).encode()
    digest = hashlib.shake_128(text).digest(2 * WIDTH)
    numbers = [number + 0.5 for number in struct.unpack(f"<{WIDTH}h", digest)]
    length = math.sqrt(sum(number * number for number in numbers))
    return struct.pack(f"<{WIDTH}f", *(number / length for number in numbers))


@dataclass(frozen=True, slots=True)
class _Reading:
    request: Texts
    due_s: float


class EchoVectors:
    """The echo engine's texts: all of a request are told when as many tokens as
    they have are due, by a clock in seconds; 0 tokens a second tells them at once."""

    def __init__(self, tokens_per_s: float, clock: Callable[[], float]) -> None:
        self._tokens_per_s = tokens_per_s
        self._clock = clock
        self._readings: dict[UUID, _Reading] = {}

    def __len__(self) -> int:
        return len(self._readings)

    def __contains__(self, id: UUID) -> bool:
        return id in self._readings

    @property
    def next_s(self) -> float:
        """When the next are due."""
        return min((reading.due_s for reading in self._readings.values()), default=math.inf)

    @property
    def texts(self) -> list[Sequence[int]]:
        """All texts that wait."""
        return [text for reading in self._readings.values() for text in reading.request.texts]

    def add(self, request: Texts) -> None:
        """Takes texts in."""
        tokens = sum(map(len, request.texts))
        takes_s = tokens / self._tokens_per_s if self._tokens_per_s else 0.0
        self._readings[request.id] = _Reading(request, self._clock() + takes_s)

    def remove(self, id: UUID) -> bool:
        """Takes texts out; whether they were there."""
        return self._readings.pop(id, None) is not None

    def tell(self) -> list[Chunk]:
        """The vectors that are due."""
        now = self._clock()
        due = [reading.request for reading in self._readings.values() if reading.due_s <= now]
        for request in due:
            del self._readings[request.id]
        return [
            Chunk(request.id, "", 0, "stop", vectors=_vectors(request.texts)) for request in due
        ]


def _vectors(texts: Sequence[Sequence[int]]) -> tuple[Vector, ...]:
    return tuple(Vector(number, vector(text)) for number, text in enumerate(texts))
