"""One step's work as flat tensors: every token of every sequence in one row."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from workers.engines.lm.cache import KvCache
from workers.engines.lm.pool import Pool
from workers.engines.lm.rows import Decode, Part, Run, runs
from workers.engines.lm.sequence import Sequence

# Row counts are rounded up to a multiple of this: a size that the matrix product
# library has not met costs it some milliseconds, and padding rows cost as much
# as real ones. 4 was faster than 8 and 16.
_ROWS = 4


@dataclass(frozen=True, slots=True)
class Scored:
    """The next `tokens` of a prompt whose logprobs are wanted: what the rows
    from `row` on, one for each, are to foretell."""

    sequence: Sequence
    row: int
    tokens: list[int]


class PoolRows:
    """The rows of one pool: first those that decode, then parts of prompts.

    What all layers share is computed once: `write`, where each row's key and
    value heads go in the pool's flattened slots, and the masks.
    """

    def __init__(self, pool: Pool, parts: Iterable[Part], first_row: int) -> None:
        self.pool = pool
        self.decode = Decode(pool, first_row)
        self.runs = runs(pool, parts, self.decode.rows.stop)
        end = self.runs[-1].rows.stop if self.runs else self.decode.rows.stop
        self.rows = slice(first_row, end)
        slots = list(range(self.decode.slots))
        self.positions = list(self.decode.positions)
        for part in self.parts:
            slots += [part.sequence.slot] * part.tokens
            self.positions += range(part.start, part.end)
        self.write = self._where(slots)
        self._masks: dict[tuple[Decode | Run, int | None], torch.Tensor] = {}

    @property
    def parts(self) -> list[Part]:
        """Parts of prompts in the order of their rows."""
        return [part for run in self.runs for part in run.parts]

    def mask(self, queries: Decode | Run, window: int | None, group: int) -> torch.Tensor:
        """What is added to scores: 0, or minus infinity for what a query does
        not see. [slots * kv_heads, group * tokens of a slot, length], where
        `group` query heads share a key head."""
        if (queries, window) not in self._masks:
            hidden = queries.hidden(self.pool, window)
            mask = torch.zeros(hidden.shape, dtype=self.pool.keys.dtype, device=hidden.device)
            mask.masked_fill_(hidden, float("-inf"))
            heads = self.pool.keys.shape[2]
            mask = mask[:, None, None].expand(-1, heads, group, -1, -1)
            self._masks[queries, window] = mask.flatten(2, 3).flatten(0, 1)
        return self._masks[queries, window]

    def _where(self, slots: list[int]) -> torch.Tensor:
        device, heads = self.pool.keys.device, self.pool.keys.shape[2]
        first = torch.tensor(slots, device=device) * heads
        head = first[:, None] + torch.arange(heads, device=device)
        at = torch.tensor(self.positions, device=device)
        return (head * self.pool.length + at[:, None]).flatten()


class Batch:
    """Rows of one forward pass, pool by pool, then padding.

    `ids` and `positions` are [1, rows]; `wanted` holds the rows that need
    logits: first one for each of `sequences`, then those of `scored`. `read` are
    sequences that end with their prompt, because nothing is to be generated.
    """

    def __init__(self, cache: KvCache, prompts: Iterable[tuple[Sequence, int]]) -> None:
        self.pools: list[PoolRows] = []
        self.sequences: list[Sequence] = []
        self.scored: list[Scored] = []
        self.read: list[Sequence] = []
        self._ids: list[int] = []
        self._wanted: list[int] = []
        self._rotations: dict[int, tuple[object, torch.Tensor, torch.Tensor]] = {}
        parts: dict[int, list[Part]] = {}
        for sequence, tokens in prompts:
            part = Part(sequence, sequence.cached, sequence.cached + tokens)
            parts.setdefault(sequence.length, []).append(part)
        for pool in cache.pools:
            self._add(PoolRows(pool, parts.get(pool.length, ()), len(self._ids)))
        self.used_rows = len(self._ids)
        self._tensors(cache.shape.device)

    def _add(self, rows: PoolRows) -> None:
        for row, sequence in enumerate(rows.decode.sequences, len(self._ids)):
            self._ids.append(sequence.generated[-1] if sequence.decoding else 0)
            if sequence.decoding:
                self._want(sequence, row)
        for part in rows.parts:
            sequence, prompt = part.sequence, part.sequence.request.prompt
            if sequence.scores:
                following = list(prompt[part.start + 1 : part.end + 1])
                self.scored.append(Scored(sequence, len(self._ids), following))
            self._ids += prompt[part.start : part.end]
            if part.completes and sequence.limit:
                self._want(sequence, len(self._ids) - 1)
            elif part.completes:
                self.read.append(sequence)
        if rows.positions:
            self.pools.append(rows)

    def _want(self, sequence: Sequence, row: int) -> None:
        self.sequences.append(sequence)
        self._wanted.append(row)

    def _tensors(self, device: torch.device) -> None:
        positions = [at for rows in self.pools for at in rows.positions]
        padding = [0] * _padding(len(self._ids))
        self.ids = torch.tensor([self._ids + padding], device=device)
        self.positions = torch.tensor([positions + padding], device=device)
        wanted = list(self._wanted)
        for scored in self.scored:
            wanted += range(scored.row, scored.row + len(scored.tokens))
        repeated = [0] * _padding(len(wanted))
        self.wanted = torch.tensor(wanted + repeated, device=device)

    def rotation(
        self, embeddings: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of all rows, [rows, 1, head_dim], the first half
        of the sines negated: x * cos + roll(x) * sin turns a head. Computed
        once for each pair that the layers share."""
        cos, sin = embeddings
        if id(cos) not in self._rotations:
            half = sin.shape[-1] // 2
            signed = torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=-1)
            # The pair is kept, so that its id stays its own.
            self._rotations[id(cos)] = (embeddings, cos[0][:, None], signed[:, None])
        return self._rotations[id(cos)][1:]

    def done(self) -> None:
        """Notes that keys and values of all rows are in the cache now."""
        for rows in self.pools:
            for sequence in rows.decode.sequences:
                sequence.cached += sequence.decoding
            for part in rows.parts:
                part.sequence.cached = part.end


def _padding(rows: int) -> int:
    """How many rows to add; a step has some even if nobody wants them."""
    return -rows % _ROWS if rows else _ROWS
