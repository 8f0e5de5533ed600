"""From logits to token ids."""

import torch

from workers.engines.lm.sequence import Sequence
from workers.engines.lm.shaping import shape
from workers.engines.protocol import Sampling

# Almost always holds all tokens that top_p leaves; sorting a whole vocabulary
# for each token would take longer than the model.
_CANDIDATES = 1024
_BLOCK = 128
_COLDEST = 1e-5


def choose(logits: torch.Tensor, sequences: list[Sequence]) -> list[int]:
    """The next token of each sequence from its row of `logits` [n, vocabulary].

    Greedy rows take the first of the largest. Others draw one number from
    their own generator, so that a row's token depends on its logits and its
    seed alone. Rows with a shaping are chosen apart, from their shaped scores.
    """
    tokens: list[int] = greedy(logits).tolist()
    drawn = [i for i, s in enumerate(sequences) if _draws(s) and s.shaping is None]
    if drawn:
        _put(tokens, drawn, _draw(logits[drawn].float(), [sequences[i] for i in drawn]))
    shaped = [i for i, s in enumerate(sequences) if s.shaping is not None]
    if shaped:
        _put(tokens, shaped, _choose_shaped(logits[shaped].float(), [sequences[i] for i in shaped]))
    return tokens


def _choose_shaped(scores: torch.Tensor, sequences: list[Sequence]) -> list[int]:
    shape(scores, [s.shaping for s in sequences if s.shaping is not None])
    tokens: list[int] = greedy(scores).tolist()
    drawn = [i for i, s in enumerate(sequences) if _draws(s)]
    if drawn:
        _put(tokens, drawn, _draw(scores[drawn], [sequences[i] for i in drawn]))
    return tokens


def _draws(sequence: Sequence) -> bool:
    return sequence.request.sampling.temperature > 0


def _put(tokens: list[int], rows: list[int], chosen: list[int]) -> None:
    for i, token in zip(rows, chosen, strict=True):
        tokens[i] = token


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The first largest column of each row.

    Found through the largest of each block of columns: that reduction uses
    vector instructions, while argmax over bfloat16 takes eight times as long.
    """
    rows, columns = logits.shape
    if columns % _BLOCK:
        return logits.argmax(-1)
    blocks = logits.view(rows, -1, _BLOCK)
    best = blocks.amax(-1).argmax(-1)
    inside = blocks[torch.arange(rows, device=logits.device), best].argmax(-1)
    return best * _BLOCK + inside


def _draw(logits: torch.Tensor, sequences: list[Sequence]) -> list[int]:
    samplings = [s.request.sampling for s in sequences]
    heat = torch.tensor([max(s.temperature, _COLDEST) for s in samplings], device=logits.device)
    # The largest becomes 0 first: a tiny temperature must not overflow.
    logits = (logits - logits.amax(-1, keepdim=True)) / heat[:, None]
    weights = torch.softmax(logits, -1)
    points = [s.random.random() for s in sequences]
    tokens = [0] * len(sequences)
    for filtered in (False, True):
        rows = [i for i, s in enumerate(samplings) if _filters(s) is filtered]
        if rows:
            pick = _pick_filtered if filtered else _pick
            found = pick(weights[rows], [points[i] for i in rows], [samplings[i] for i in rows])
            for i, token in zip(rows, found, strict=True):
                tokens[i] = token
    return tokens


def _filters(sampling: Sampling) -> bool:
    return sampling.top_k > 0 or sampling.top_p < 1 or sampling.min_p > 0


def _pick(weights: torch.Tensor, points: list[float], _: list[Sampling]) -> list[int]:
    """The column where each row's running sum passes its point in [0, 1)."""
    running = weights.cumsum(-1, dtype=torch.float64)
    point = torch.tensor(points, dtype=torch.float64, device=weights.device)[:, None]
    found = torch.searchsorted(running, point * running[:, -1:], right=True)
    return found[:, 0].clamp_(max=weights.shape[1] - 1).tolist()


def _pick_filtered(
    weights: torch.Tensor, points: list[float], samplings: list[Sampling]
) -> list[int]:
    """As `_pick`, of the tokens that top_k, top_p and min_p leave."""
    best, ids = weights.topk(min(_CANDIDATES, weights.shape[1]))
    total = best.cumsum(-1, dtype=torch.float64)
    tokens = []
    for i, sampling in enumerate(samplings):
        row, order, running = best[i], ids[i], total[i]
        if not _reaches(row, running, sampling, weights.shape[1]):
            row, order = weights[i].sort(descending=True, stable=True)
            running = row.cumsum(-1, dtype=torch.float64)
        kept = row[: _left(row, running, sampling)]
        tokens.append(int(order[_pick(kept[None], [points[i]], [sampling])[0]]))
    return tokens


def _reaches(row: torch.Tensor, running: torch.Tensor, sampling: Sampling, vocabulary: int) -> bool:
    """Whether the candidates hold all tokens that the filters leave."""
    candidates = len(running)
    if candidates == vocabulary or 0 < sampling.top_k <= candidates:
        return True
    if sampling.min_p > 0 and float(row[-1]) < sampling.min_p * float(row[0]):
        # Needs no sum over those beyond unless top_k asks for one.
        return sampling.top_k == 0
    return sampling.top_k == 0 and float(running[-1]) >= sampling.top_p


def _left(row: torch.Tensor, running: torch.Tensor, sampling: Sampling) -> int:
    """How many tokens the filters leave, of those sorted by weight."""
    left = len(running)
    if sampling.min_p > 0:
        left = int((row >= sampling.min_p * row[0]).sum())
    if sampling.top_k:
        running = running[: sampling.top_k]
        running = running / running[-1]
    # A token stays if those before it have less than top_p together.
    before = int((running < sampling.top_p).sum())
    return max(1, min(before + 1, len(running), left))
