"""Which rows of a flat batch belong to which slots of a pool, and what they see."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from workers.engines.lm.pool import Pool
from workers.engines.lm.sequence import Sequence

# Scores of one query head with more elements than this are never held whole.
_LONG = 65_536


class Decode:
    """The decoding sequences of one pool: one row for each of its slots.

    A slot whose sequence is still in its prompt may lie between decoding
    ones; it gets an idle row that writes where nothing is read (the slot's
    last position, which a prompt never fills) and is ignored.
    """

    def __init__(self, pool: Pool, first_row: int) -> None:
        decoding = [s.slot for s in pool.sequences if s.decoding]
        self.slots = max(decoding, default=-1) + 1
        self.rows = slice(first_row, first_row + self.slots)
        self.sequences = pool.sequences[: self.slots]
        self.positions = [s.cached if s.decoding else pool.length - 1 for s in self.sequences]

    def hidden(self, pool: Pool, window: int | None) -> torch.Tensor:
        """Which of a slot's tokens a row does not see, [slots, 1, length]."""
        at = torch.tensor(self.positions, device=pool.keys.device)[:, None, None]
        return _hidden(at, pool, window)


@dataclass(frozen=True, slots=True)
class Part:
    """The next tokens, from `start` to before `end`, of a sequence's prompt."""

    sequence: Sequence
    start: int
    end: int

    @property
    def tokens(self) -> int:
        """How many rows it has."""
        return self.end - self.start

    @property
    def completes(self) -> bool:
        """Whether these are the prompt's last tokens."""
        return self.end == len(self.sequence.request.prompt)


class Run:
    """Parts of prompts in neighbouring slots, attended together.

    Shorter parts are padded to the longest: `take` names, for each slot, the
    batch rows of its `longest` queries, and `keep` those of them that count.
    """

    def __init__(self, pool: Pool, parts: list[Part], first_row: int) -> None:
        self.parts = parts
        first = parts[0].sequence.slot
        self.slots = slice(first, first + len(parts))
        self.longest = max(part.tokens for part in parts)
        self.rows = slice(first_row, first_row + sum(part.tokens for part in parts))
        take: list[int] = []
        keep: list[int] = []
        row = first_row
        for number, part in enumerate(parts):
            rows = range(row, row + part.tokens)
            take += [*rows, *[row] * (self.longest - part.tokens)]
            keep += range(number * self.longest, number * self.longest + part.tokens)
            row = rows.stop
        device = pool.keys.device
        self.take = torch.tensor(take, device=device)
        self.keep = torch.tensor(keep, device=device)

    @property
    def alone(self) -> Part | None:
        """The one part of a run that is too long for whole scores."""
        (part, *others) = self.parts
        return None if others or part.tokens * part.sequence.length <= _LONG else part

    def hidden(self, pool: Pool, window: int | None) -> torch.Tensor:
        """Which of a slot's tokens a query does not see, [slots, longest, length]."""
        device = pool.keys.device
        starts = torch.tensor([part.start for part in self.parts], device=device)
        at = starts[:, None] + torch.arange(self.longest, device=device)
        return _hidden(at[:, :, None], pool, window)


def runs(pool: Pool, parts: Iterable[Part], first_row: int) -> list[Run]:
    """Splits a pool's parts into runs of neighbours of about one length."""
    groups: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: part.sequence.slot):
        if groups and _joins(groups[-1], part):
            groups[-1].append(part)
        else:
            groups.append([part])
    found = []
    for group in groups:
        found.append(Run(pool, group, first_row))
        first_row = found[-1].rows.stop
    return found


def _joins(group: list[Part], part: Part) -> bool:
    if part.sequence.slot != group[-1].sequence.slot + 1:
        return False
    counts = [member.tokens for member in (*group, part)]
    if max(counts) * part.sequence.length > _LONG:
        return False
    return max(counts) * len(counts) <= sum(counts) * 3 // 2 + 16


def _hidden(at: torch.Tensor, pool: Pool, window: int | None) -> torch.Tensor:
    key = torch.arange(pool.length, device=pool.keys.device)
    hidden = key > at
    return hidden if window is None else hidden | (key <= at - window)
