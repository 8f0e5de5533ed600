"""From the states of a text's tokens to one vector (Sentence-BERT, EMNLP 2019)."""

import torch
from torch.nn import functional

from models_store.sentence_files import Pooling


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Vectors [texts, width], float32, of `states` [texts, tokens, width]; `mask`
    [texts, tokens] is 1 for a token and 0 for padding."""
    states = states.float()
    if pooling == "cls":
        return states[:, 0]
    real = mask[:, :, None].to(states.dtype)
    if pooling == "max":
        return states.masked_fill(real == 0, float("-inf")).amax(1)
    total, tokens = (states * real).sum(1), real.sum(1)
    return total / (tokens.sqrt() if pooling == "mean_sqrt_len_tokens" else tokens)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """The vectors with length 1."""
    return functional.normalize(vectors, dim=-1)
