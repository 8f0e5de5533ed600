"""Logprobs of chosen tokens, of prompts, and of the likeliest alternatives."""

from collections.abc import Sequence as Series

import torch

from jobs.logprobs import Likelihood, TokenLogprobs
from workers.engines.detokenizer import Vocabulary
from workers.engines.lm.batch import Scored
from workers.engines.lm.sequence import Sequence

# What JSON can hold for a token that the model rules out, as OpenAI does.
_LEAST = -9999.0
# Rows of a prompt that are looked at together: a row in float32 is as wide as the vocabulary.
_ROWS = 32


def logprobs(
    logits: torch.Tensor, sequences: Series[Sequence], tokens: Series[int], vocabulary: Vocabulary
) -> dict[int, TokenLogprobs]:
    """By row of `logits` [n, vocabulary], for the sequences that ask for it: what
    the model itself thought of the row's token, computed in float32."""
    rows = [i for i, s in enumerate(sequences) if s.request.sampling.logprobs is not None]
    if not rows:
        return {}
    wanted = [sequences[i].request.sampling.logprobs or 0 for i in rows]
    found = _look(logits[rows], [tokens[i] for i in rows], wanted, vocabulary)
    return dict(zip(rows, found, strict=True))


def score(logits: torch.Tensor, scored: Series[Scored], vocabulary: Vocabulary) -> None:
    """Adds to each prompt's sequence what the model thought of the prompt's next
    tokens; `logits` [n, vocabulary] has their rows, one after the other."""
    first = 0
    for part in scored:
        told, tokens = part.sequence.prompt_logprobs, part.tokens
        wanted = part.sequence.request.sampling.prompt_logprobs or 0
        for begin in range(0, len(tokens), _ROWS):
            some = tokens[begin : begin + _ROWS]
            rows = logits[first + begin : first + begin + len(some)]
            told += _look(rows, some, [wanted] * len(some), vocabulary)
        first += len(tokens)


def _look(
    logits: torch.Tensor, tokens: Series[int], wanted: Series[int], vocabulary: Vocabulary
) -> list[TokenLogprobs]:
    shares = logits.float().log_softmax(-1).clamp_(min=_LEAST)
    chosen = torch.tensor(tokens, device=shares.device)[:, None]
    own: list[float] = shares.gather(-1, chosen)[:, 0].tolist()
    best = shares.topk(min(max(wanted), shares.shape[1]))
    values, ids = best.values.tolist(), best.indices.tolist()
    found = []
    for n, token in enumerate(tokens):
        pairs = list(zip(ids[n], values[n], strict=True))[: wanted[n]]
        top = tuple(Likelihood(vocabulary.bytes_of(id), value) for id, value in pairs)
        found.append(TokenLogprobs(Likelihood(vocabulary.bytes_of(token), own[n]), top))
    return found
