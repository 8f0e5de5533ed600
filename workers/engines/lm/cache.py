"""The KV cache: pools of slots, one pool for each length bucket, one budget."""

from workers.engines.lm.pool import KvShape, Pool
from workers.engines.lm.sequence import Sequence


def bucket_lengths(context: int) -> tuple[int, ...]:
    """Slot lengths in tokens, each at most 1.5 times the one before (from 128
    on), up to the first that holds `context` tokens."""
    lengths = [64, 128, 192]
    while lengths[-1] < context:
        lengths.append(2 * lengths[-2])
    return tuple(lengths)


class KvCache:
    """Keys and values of all sequences.

    A sequence lives in the pool of the shortest length that holds it and
    moves up as it grows, so that sequences of about the same length are
    attended together and little of a slot is padding. `reserve` takes, before
    a sequence enters, the longest slot it can ever need from `budget_tokens`:
    a sequence that is in never waits for memory. Memory stays within the
    budget, but for one slot and one pool during a move.
    """

    def __init__(self, shape: KvShape, budget_tokens: int, context: int) -> None:
        self.shape = shape
        self.budget_tokens = budget_tokens
        self.reserved_tokens = 0
        self._pools = {length: Pool(shape, length) for length in bucket_lengths(context)}

    @property
    def pools(self) -> list[Pool]:
        """The pools that hold a sequence, shortest slots first."""
        return [pool for pool in self._pools.values() if pool.sequences]

    @property
    def allocated_tokens(self) -> int:
        """Tokens that have memory now."""
        return sum(pool.tokens for pool in self._pools.values())

    def cost(self, tokens: int) -> int:
        """What a sequence that grows to `tokens` takes from the budget."""
        return self._bucket(tokens).length

    def enter(self, sequence: Sequence) -> bool:
        """Lets a sequence in and gives it a slot, if the budget has room."""
        if self.reserved_tokens + sequence.reserved > self.budget_tokens:
            return False
        self.reserved_tokens += sequence.reserved
        # One more than the prompt: the first generated token follows it.
        self._append(sequence, self._bucket(len(sequence.request.prompt) + 1))
        return True

    def leave(self, sequence: Sequence) -> None:
        """Frees what a sequence has."""
        self.reserved_tokens -= sequence.reserved
        self.pool_of(sequence).take(sequence)

    def grow(self, sequence: Sequence) -> None:
        """Makes sure that the next token of a sequence has a place."""
        source = self.pool_of(sequence)
        if sequence.cached < source.length:
            return
        target = self._bucket(sequence.cached + 1)
        self._make_room(target)
        source.copy(sequence, target, len(target.sequences))
        source.take(sequence)
        self._append(sequence, target)

    def pool_of(self, sequence: Sequence) -> Pool:
        """The pool that a sequence is in."""
        return self._pools[sequence.length]

    def _append(self, sequence: Sequence, pool: Pool) -> None:
        self._make_room(pool)
        sequence.length = pool.length
        pool.append(sequence)

    def _bucket(self, tokens: int) -> Pool:
        return next(pool for length, pool in self._pools.items() if length >= tokens)

    def _make_room(self, pool: Pool) -> None:
        needed = len(pool.sequences) + 1
        if needed <= pool.capacity:
            return
        wanted = max(needed, 8, 2 * pool.capacity)
        if self._left_for(pool) < needed * pool.length:
            self._trim()
        pool.resize(max(needed, min(wanted, self._left_for(pool) // pool.length)))

    def _trim(self) -> None:
        for pool in self._pools.values():
            if pool.capacity > len(pool.sequences):
                pool.resize(len(pool.sequences))

    def _left_for(self, pool: Pool) -> int:
        return self.budget_tokens - (self.allocated_tokens - pool.tokens)
