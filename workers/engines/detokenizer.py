"""Token ids to text, one id at a time, final text only."""

import re

from tokenizers import Tokenizer

from models_store.token_bytes import TokenBytes
from workers.engines.stops import StopFinder

# Byte tokens of byte-fallback tokenizers: a run of them is one text, which
# only the first other token ends.
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_UNKNOWN = "\ufffd"
# A model may emit undecodable bytes for ever; looking at a long run at every
# token would cost its length squared.
_LONG_RUN = 16


class Vocabulary:
    """A tokenizer and the ids that have no text (special tokens)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self.special = frozenset(id for id, token in added.items() if token.special)
        self._exact = TokenBytes(tokenizer)

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def bytes_of(self, id: int) -> bytes:
        """The exact bytes of a token, special ones included."""
        return self._exact.of(id)

    def is_byte(self, id: int) -> bool:
        """Whether the text of this id depends on its neighbours' bytes."""
        token = self.tokenizer.id_to_token(id)
        return token is not None and _BYTE.fullmatch(token) is not None


class Detokenizer:
    """Text of a growing list of ids.

    All returned pieces together equal `Vocabulary.decode` of all ids. The
    text of new ids is the difference between two short decodes that begin at
    the same earlier id, because a decoder may treat the first id of a text
    differently (it drops its leading space).
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._ids: list[int] = []
        self._shown = 0
        self._before = ""

    def feed(self, id: int) -> str:
        """The text that became final with this id; often empty."""
        if id in self._vocabulary.special:
            return ""
        self._ids.append(id)
        pending = len(self._ids) - self._shown
        if pending > _LONG_RUN and pending % _LONG_RUN:
            return ""
        text = self._vocabulary.decode(self._ids)
        if text.endswith(_UNKNOWN) or self._vocabulary.is_byte(id):
            return ""
        return self._emit(text)

    def flush(self) -> str:
        """The text of ids whose characters never became complete."""
        return self._emit(self._vocabulary.decode(self._ids))

    def _emit(self, text: str) -> str:
        piece = text[len(self._before) :]
        del self._ids[: self._shown]
        self._shown = len(self._ids)
        self._before = self._vocabulary.decode(self._ids)
        return piece


class Reader:
    """The readable completion of one sequence: detokenized, cut at a stop."""

    def __init__(self, vocabulary: Vocabulary, stops: tuple[str, ...]) -> None:
        self._detokenizer = Detokenizer(vocabulary)
        self._finder = StopFinder(stops)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; no text comes after it."""
        return self._finder.found

    def feed(self, id: int) -> str:
        """The text that is final after this id."""
        return self._finder.feed(self._detokenizer.feed(id))

    def flush(self) -> str:
        """The rest of the text, now that no more ids come."""
        return self._finder.feed(self._detokenizer.flush()) + self._finder.flush()
