"""The texts that wait to be read, and which of them go together."""

from bisect import bisect_left
from collections import OrderedDict
from typing import NamedTuple
from uuid import UUID

from workers.engines.protocol import Texts

# The shortest of a batch has at least this part of the longest one's tokens.
_ALIKE = 0.75


class Waiting(NamedTuple):
    """One text; compared by its length first, then by `order`, which is its own."""

    length: int
    order: int
    id: UUID
    number: int


class WaitingTexts:
    """Texts of several requests, sorted by length.

    Each batch begins with the next text of the request that was begun with longest
    ago, so that a short request beside a long one is soon done; the rest of the
    batch are the texts nearest in length, whosesoever they are.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._sorted: list[Waiting] = []
        # Of each request, whose turn comes in this order; as sets that keep theirs.
        self._left: OrderedDict[UUID, dict[Waiting, None]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, request: Texts) -> None:
        """Takes all texts of a request in."""
        texts = [
            Waiting(len(text), self._count + number, request.id, number)
            for number, text in enumerate(request.texts)
        ]
        self._count += len(texts)
        self._left[request.id] = dict.fromkeys(texts)
        self._sorted += texts
        self._sorted.sort()

    def remove(self, id: UUID) -> None:
        """Takes out what is left of a request."""
        if self._left.pop(id, None):
            self._sorted = [text for text in self._sorted if text.id != id]

    def take(self) -> list[Waiting]:
        """The next batch, shortest text first: padded to its longest it has at
        most `tokens` tokens, unless a single text has more."""
        if not self._left:
            return []
        id, texts = next(iter(self._left.items()))
        self._left.move_to_end(id)
        begin, end = self._around(bisect_left(self._sorted, next(iter(texts))))
        batch = self._sorted[begin:end]
        del self._sorted[begin:end]
        for text in batch:
            del self._left[text.id][text]
            if not self._left[text.id]:
                del self._left[text.id]
        return batch

    def _around(self, at: int) -> tuple[int, int]:
        """A run of neighbours that holds `at` and may be one batch: the longer
        texts first, as long as they do not pad too much, then the shorter ones."""
        begin, end = at, at + 1
        while end < len(self._sorted) and self._fits(at, end + 1):
            end += 1
        while begin and self._fits(begin - 1, end):
            begin -= 1
        return begin, end

    def _fits(self, begin: int, end: int) -> bool:
        shortest, longest = self._sorted[begin].length, self._sorted[end - 1].length
        return (end - begin) * longest <= self._tokens and shortest >= _ALIKE * longest
