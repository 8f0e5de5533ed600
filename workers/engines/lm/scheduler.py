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
    others for longer than that. At most `scored_tokens` of these are of prompts
    whose logprobs are wanted: each takes scores for the whole vocabulary.
    """

    def __init__(self, cache: KvCache, prompt_tokens: int, scored_tokens: int) -> None:
        self._cache = cache
        self._prompt_tokens = prompt_tokens
        self._scored_tokens = scored_tokens
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
        left = _Left(self._prompt_tokens, self._scored_tokens)
        for sequence in self._running.values():
            left.take(sequence)
        while left.tokens and self._waiting and self._cache.enter(self._waiting[0]):
            sequence = self._waiting.popleft()
            self._running[sequence.request.id] = sequence
            left.take(sequence)
        return left.parts


class _Left:
    """What is left of one step's prompt tokens, and who took the others."""

    def __init__(self, tokens: int, scored: int) -> None:
        self.tokens = tokens
        self._scored = scored
        self.parts: list[tuple[Sequence, int]] = []

    def take(self, sequence: Sequence) -> None:
        tokens = min(sequence.prompt_left, self.tokens)
        if sequence.scores:
            tokens = min(tokens, self._scored)
            self._scored -= tokens
        if tokens:
            self.tokens -= tokens
            self.parts.append((sequence, tokens))
