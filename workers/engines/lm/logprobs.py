"""Logprobs of chosen tokens and of their likeliest alternatives."""

from collections.abc import Sequence as Series

import torch

from workers.engines.detokenizer import Vocabulary
from workers.engines.lm.sequence import Sequence
from workers.engines.protocol import Likelihood, TokenLogprobs

# What JSON can hold for a token that the model rules out, as OpenAI does.
_LEAST = -9999.0


def logprobs(
    logits: torch.Tensor, sequences: Series[Sequence], tokens: Series[int], vocabulary: Vocabulary
) -> dict[int, TokenLogprobs]:
    """By row of `logits` [n, vocabulary], for the sequences that ask for it: what
    the model itself thought of the row's token, computed in float32."""
    rows = [i for i, s in enumerate(sequences) if s.request.sampling.logprobs is not None]
    if not rows:
        return {}
    shares = logits[rows].float().log_softmax(-1).clamp_(min=_LEAST)
    chosen = torch.tensor([[tokens[i]] for i in rows], device=shares.device)
    own: list[float] = shares.gather(-1, chosen)[:, 0].tolist()
    wanted = [sequences[i].request.sampling.logprobs or 0 for i in rows]
    best = shares.topk(min(max(wanted), shares.shape[1]))
    values, ids = best.values.tolist(), best.indices.tolist()
    found = {}
    for n, i in enumerate(rows):
        pairs = list(zip(ids[n], values[n], strict=True))[: wanted[n]]
        top = tuple(Likelihood(vocabulary.bytes_of(id), value) for id, value in pairs)
        found[i] = TokenLogprobs(Likelihood(vocabulary.bytes_of(tokens[i]), own[n]), top)
    return found
