"""What a request changes of its scores before a token is chosen.

First `logit_bias`, then `repetition_penalty`, then OpenAI's two penalties, last
what the grammar forbids; the first two in transformers' order. All rows that
need it are changed together; the others never come here.
"""

from collections import Counter
from collections.abc import Sequence

import torch

from workers.engines.protocol import Constraint, Request, Sampling

_NEVER = float("-inf")


class Shaping:
    """One sequence's part: its grammar's place and the tokens it has met.

    `generated` is the sequence's own, growing list.
    """

    def __init__(self, request: Request, generated: list[int], ends: frozenset[int]) -> None:
        self.sampling = request.sampling
        self.constraint: Constraint | None = request.grammar.begin() if request.grammar else None
        self.ends = sorted(ends)
        self._prompt = sorted(set(request.prompt)) if _repeats(request.sampling) else []
        self._generated = generated
        self._counts: Counter[int] = Counter()
        self._counted = 0

    def counts(self) -> Counter[int]:
        """How often each token stands in the completion."""
        self._counts.update(self._generated[self._counted :])
        self._counted = len(self._generated)
        return self._counts

    def seen(self) -> list[int]:
        """The tokens of prompt and completion; some stand here twice."""
        return [*self._prompt, *self.counts()]


def shaping_of(request: Request, generated: list[int], ends: frozenset[int]) -> Shaping | None:
    """None for a request that takes the model's scores as they are."""
    sampling = request.sampling
    plain = not (_repeats(sampling) or _penalizes(sampling) or sampling.logit_bias)
    return None if plain and request.grammar is None else Shaping(request, generated, ends)


def shape(scores: torch.Tensor, shapings: Sequence[Shaping]) -> None:
    """Changes the rows of `scores` [n, vocabulary], float32, in place."""
    _bias(scores, shapings)
    _discourage_repetition(scores, shapings)
    _penalize(scores, shapings)
    for row, shaping in zip(scores, shapings, strict=True):
        if shaping.constraint is not None:
            _forbid(row, shaping.constraint, shaping.ends)


def _bias(scores: torch.Tensor, shapings: Sequence[Shaping]) -> None:
    entries = _Entries(scores)
    for row, shaping in enumerate(shapings):
        bias = shaping.sampling.logit_bias
        entries.add(row, list(bias), list(bias.values()))
    entries.add_to_scores()


def _discourage_repetition(scores: torch.Tensor, shapings: Sequence[Shaping]) -> None:
    entries = _Entries(scores)
    for row, shaping in enumerate(shapings):
        if _repeats(shaping.sampling):
            seen = shaping.seen()
            entries.add(row, seen, [shaping.sampling.repetition_penalty] * len(seen))
    if entries.columns:
        at, penalties = entries.tensors()
        before = scores[at]
        # Where a token stands twice, the same is written twice.
        scores[at] = torch.where(before < 0, before * penalties, before / penalties)


def _penalize(scores: torch.Tensor, shapings: Sequence[Shaping]) -> None:
    entries = _Entries(scores)
    for row, shaping in enumerate(shapings):
        sampling = shaping.sampling
        if _penalizes(sampling):
            counts = shaping.counts()
            off = [
                -sampling.presence_penalty - sampling.frequency_penalty * count
                for count in counts.values()
            ]
            entries.add(row, list(counts), off)
    entries.add_to_scores()


def _forbid(row: torch.Tensor, constraint: Constraint, ends: list[int]) -> None:
    allowed = torch.frombuffer(bytearray(constraint.allowed()), dtype=torch.uint8)
    hidden = torch.ones(len(row), dtype=torch.bool)
    known = min(len(row), len(allowed))
    hidden[:known] = allowed[:known] == 0
    hidden[ends] = not constraint.may_end
    if constraint.failure is None:
        row.masked_fill_(hidden.to(row.device), _NEVER)


class _Entries:
    """Single scores of several rows, to be changed together."""

    def __init__(self, scores: torch.Tensor) -> None:
        self._scores = scores
        self._rows: list[int] = []
        self.columns: list[int] = []
        self._amounts: list[float] = []

    def add(self, row: int, columns: list[int], amounts: list[float]) -> None:
        """Names columns of a row, each with its amount."""
        self._rows += [row] * len(columns)
        self.columns += columns
        self._amounts += amounts

    def tensors(self) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Where the entries stand, as an index of the scores, and their amounts."""
        device = self._scores.device
        rows = torch.tensor(self._rows, device=device)
        columns = torch.tensor(self.columns, device=device)
        return (rows, columns), torch.tensor(self._amounts, device=device)

    def add_to_scores(self) -> None:
        """Adds each amount to its score; a score stands here once at most."""
        if self.columns:
            at, amounts = self.tensors()
            self._scores[at] += amounts


def _repeats(sampling: Sampling) -> bool:
    return sampling.repetition_penalty != 1


def _penalizes(sampling: Sampling) -> bool:
    return sampling.presence_penalty != 0 or sampling.frequency_penalty != 0
