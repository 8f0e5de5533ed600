"""Logprobs as completions have them: a column for each thing, a row for each token."""

import codecs
from collections.abc import Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]
_DECODER = codecs.getincrementaldecoder("utf-8")


class Columns:
    """The logprobs of one choice; `text_offset` goes on from chunk to chunk, and
    begins where the text does that the tokens are of."""

    def __init__(self, begin: int = 0) -> None:
        self._at = begin
        self._decoder = _DECODER("replace")

    def of(self, entries: Sequence[Entry]) -> dict[str, list[Any]]:
        """The next tokens."""
        return {
            "tokens": [one["token"] for one in entries],
            "token_logprobs": [one["logprob"] for one in entries],
            "top_logprobs": [_top(one) for one in entries],
            "text_offset": [self._begin(one) for one in entries],
        }

    def _begin(self, entry: Entry) -> int:
        """Half a character counts with the token that completes it."""
        begin = self._at
        self._at += len(self._decoder.decode(bytes(entry["bytes"])))
        return max(0, begin)


def beginning(prompt: Sequence[Entry], echoed: str) -> int:
    """Where the first token of an echoed prompt begins: before the text if the
    tokenizer put something in front of it."""
    read = b"".join(bytes(one["bytes"]) for one in prompt).decode("utf-8", "replace")
    return len(echoed) - len(read) if read.endswith(echoed) else 0


def _top(entry: Entry) -> dict[str, float] | None:
    """The likeliest tokens by their text, and the token itself; the first of a
    prompt has none. Of two that read alike the likelier is told."""
    if entry["logprob"] is None:
        return None
    found: dict[str, float] = {}
    for one in (*entry["top_logprobs"], entry):
        found.setdefault(one["token"], one["logprob"])
    return found
