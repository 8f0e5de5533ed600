"""The exact bytes that each token of a tokenizer stands for.

Decoding one id alone cannot tell them: half a character becomes U+FFFD, and
some decoders drop the space in front of the first word.
"""

import json
import re
from functools import cache
from typing import Any

from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_WORD = "\u2581"


class TokenBytes:
    """A tokenizer's tokens as bytes: byte-level BPE, or SentencePiece's with
    spaces as U+2581 and byte tokens such as <0x0A>."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._added = {
            id: token.content.encode() for id, token in tokenizer.get_added_tokens_decoder().items()
        }
        decoder = tokenizer.decoder
        self._byte_level = decoder is not None and _has_byte_level(
            json.loads(decoder.__getstate__())
        )

    def of(self, id: int) -> bytes:
        """The bytes of a token; none for an id without a token."""
        if id in self._added:
            return self._added[id]
        token = self._tokenizer.id_to_token(id)
        if token is None:
            return b""
        if self._byte_level:
            return _of_letters(token)
        byte = _BYTE.fullmatch(token)
        return bytes.fromhex(byte[1]) if byte else token.replace(_WORD, " ").encode()


def _has_byte_level(decoder: dict[str, Any]) -> bool:
    parts = decoder.get("decoders", ())
    return decoder.get("type") == "ByteLevel" or any(map(_has_byte_level, parts))


def _of_letters(token: str) -> bytes:
    known = _letters()
    # A letter outside the alphabet stands for itself, as in the decoder.
    return b"".join(known.get(letter, letter.encode()) for letter in token)


@cache
def _letters() -> dict[str, bytes]:
    """The letter by which byte-level BPE (GPT-2) writes each byte: itself if it
    is visible, else the next free one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = (byte for byte in range(256) if byte not in visible)
    written = {chr(byte): bytes([byte]) for byte in visible}
    return written | {chr(256 + n): bytes([byte]) for n, byte in enumerate(hidden)}
