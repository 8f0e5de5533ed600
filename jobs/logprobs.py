"""What a model thought of tokens: as values, as results tell it, and packed for a stream."""

import base64
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_COUNT = struct.Struct("<B")
# The piece's length and the logprob; engines compute in float32, so nothing is lost.
_HEAD = struct.Struct("<Hf")


@dataclass(frozen=True, slots=True)
class Likelihood:
    """A token as its exact bytes, and the natural logarithm of its share in the
    model's own distribution, before temperature, filters and penalties."""

    piece: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """A token of a text, and the likeliest at its place, best first."""

    chosen: Likelihood
    top: tuple[Likelihood, ...] = ()


def unforetold(piece: bytes) -> TokenLogprobs:
    """The first token of a prompt: there is nothing before it that could foretell it."""
    return TokenLogprobs(Likelihood(piece, math.nan))


def shown(entry: TokenLogprobs) -> dict[str, Any]:
    """An entry as results hold it."""
    return _likelihood(entry.chosen) | {"top_logprobs": [_likelihood(one) for one in entry.top]}


def shown_of_prompt(entries: Sequence[TokenLogprobs]) -> list[dict[str, Any]]:
    """A prompt's entries as results hold them; the first has a logprob of null."""
    first, *others = (shown(entry) for entry in entries)
    return [first | {"logprob": None}, *others]


def _likelihood(likelihood: Likelihood) -> dict[str, Any]:
    text = likelihood.piece.decode("utf-8", "replace")
    return {
        "token": text.replace("\x00", "\ufffd"),  # Postgres holds no NUL
        "bytes": list(likelihood.piece),
        "logprob": likelihood.logprob,
    }


def pack(entries: Iterable[TokenLogprobs]) -> str:
    """Entries as a short text: about 15 characters for each likelihood."""
    parts = []
    for entry in entries:
        parts.append(_COUNT.pack(len(entry.top)))
        for one in (entry.chosen, *entry.top):
            parts += (_HEAD.pack(len(one.piece), one.logprob), one.piece)
    return base64.b64encode(b"".join(parts)).decode()


def unpack(text: str) -> Sequence[TokenLogprobs]:
    """The entries that `pack` was given. Raises `ValueError` for what it did not make."""
    packed = base64.b64decode(text, validate=True)
    try:
        return list(_entries(packed))
    except struct.error as error:
        raise ValueError("no packed logprobs") from error


def _entries(packed: bytes) -> Iterator[TokenLogprobs]:
    at = 0
    while at < len(packed):
        (count,) = _COUNT.unpack_from(packed, at)
        at += _COUNT.size
        found = []
        for _ in range(1 + count):
            length, logprob = _HEAD.unpack_from(packed, at)
            at += _HEAD.size + length
            piece = packed[at - length : at]
            if len(piece) < length:
                raise ValueError("no packed logprobs")
            found.append(Likelihood(piece, logprob))
        yield TokenLogprobs(found[0], tuple(found[1:]))
