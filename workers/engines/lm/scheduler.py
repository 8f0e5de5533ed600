"""Which sequences take part in a step, and how much of their prompts."""

from collections import deque
from uuid import UUID

from workers.engines.lm.cache import KvCache
from workers.engines.lm.sequence import Sequence


class Scheduler:
    """First come, first served: sequences wait until the cache has room for
    the longest they may become, then run until they end.

    Every decoding sequence takes part in every step; prompts share at most
    `prompt_tokens` rows of a step, so that a long prompt does not hold up the
    others for longer than that.
    """

    def __init__(self, cache: KvCache, prompt_tokens: int) -> None:
        self._cache = cache
        self._prompt_tokens = prompt_tokens
        self._waiting: deque[Sequence] = deque()
        self._running: dict[UUID, Sequence] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def __contains__(self, id: UUID) -> bool:
        return id in self._running or any(s.request.id == id for s in self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence at the end of the line."""
        self._waiting.append(sequence)

    def remove(self, id: UUID) -> Sequence | None:
        """Takes a sequence out, waiting or running."""
        sequence = self._running.pop(id, None)
        if sequence is not None:
            self._cache.leave(sequence)
            return sequence
        for waiting in self._waiting:
            if waiting.request.id == id:
                self._waiting.remove(waiting)
                return waiting
        return None

    def prompts(self) -> list[tuple[Sequence, int]]:
        """The prompts of this step, each with its number of tokens."""
        left = self._prompt_tokens
        parts: list[tuple[Sequence, int]] = []
        for sequence in self._running.values():
            left -= self._part(sequence, left, parts)
        while left and self._waiting and self._cache.enter(self._waiting[0]):
            sequence = self._waiting.popleft()
            self._running[sequence.request.id] = sequence
            left -= self._part(sequence, left, parts)
        return parts

    @staticmethod
    def _part(sequence: Sequence, left: int, parts: list[tuple[Sequence, int]]) -> int:
        tokens = min(sequence.prompt_left, left)
        if tokens:
            parts.append((sequence, tokens))
        return tokens
