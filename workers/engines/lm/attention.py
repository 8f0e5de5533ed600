"""Attention of a flat batch to the slots of the KV cache.

Registered under one name with transformers' AttentionInterface, so that the
model classes stay as they are. On a GPU the same seam is where a kernel for
sequences of different lengths goes.

Decoding and short prompts use two batched matrix products with the query
heads that share a key head as rows. On a CPU that is about three times as
fast as scaled_dot_product_attention, whose blocks are made for long queries;
long prompts use the latter, which never holds all scores.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from workers.engines.lm.batch import Batch, PoolRows
from workers.engines.lm.rows import Run

NAME = "lmaas_slots"


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    batch: Batch,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Writes new keys and values to the cache and attends to what is there.

    `query` is [1, heads, rows, head_dim], `key` and `value` [1, kv_heads,
    rows, head_dim]; the answer is [1, rows, heads, head_dim]. Padding rows
    answer zeros.
    """
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # every attention layer has its number
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    answer = attend_rows(batch, layer, query, key, value, scaling, sliding_window)
    return answer[None], None


def attend_rows(
    batch: Batch,
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    window: int | None,
) -> torch.Tensor:
    """As `attend`, for tensors of [rows, heads, head_dim]."""
    answer = torch.empty_like(query, memory_format=torch.contiguous_format)
    answer[batch.used_rows :] = 0
    for rows in batch.pools:
        keys, values = rows.pool.keys[layer], rows.pool.values[layer]
        _write(keys, rows, key)
        _write(values, rows, value)
        ask = _Ask(query, keys, values, answer, scaling, window)
        if rows.decode.slots:
            _decode(rows, ask)
        for run in rows.runs:
            if part := run.alone:
                _long(rows, run, part.end, ask)
            else:
                _short(rows, run, ask)
    return answer


@dataclass(frozen=True, slots=True)
class _Ask:
    """`query` and `answer` are [rows, heads, head_dim] of the whole batch,
    `keys` and `values` [slots, kv_heads, length, head_dim] of one pool."""

    query: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    answer: torch.Tensor
    scaling: float
    window: int | None

    @property
    def group(self) -> int:
        """How many query heads share a key head."""
        return self.query.shape[1] // self.keys.shape[1]

    def attend(self, query: torch.Tensor, slots: slice, mask: torch.Tensor) -> torch.Tensor:
        """[slots * kv_heads, queries, head_dim] to the same shape."""
        keys, values = self.keys[slots].flatten(0, 1), self.values[slots].flatten(0, 1)
        scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=self.scaling)
        return torch.bmm(torch.softmax(scores, -1), values)


def _write(slots: torch.Tensor, rows: PoolRows, new: torch.Tensor) -> None:
    head_dim = new.shape[-1]
    slots.view(-1, head_dim).index_copy_(0, rows.write, new[rows.rows].reshape(-1, head_dim))


def _decode(rows: PoolRows, ask: _Ask) -> None:
    """One query token of each slot."""
    decode = rows.decode
    kv_heads, _, head_dim = ask.keys.shape[1:]
    query = ask.query[decode.rows].reshape(decode.slots * kv_heads, ask.group, head_dim)
    mask = rows.mask(decode, ask.window, ask.group)
    found = ask.attend(query, slice(0, decode.slots), mask)
    ask.answer[decode.rows] = found.view(decode.slots, -1, head_dim)


def _short(rows: PoolRows, run: Run, ask: _Ask) -> None:
    """Parts of prompts in neighbouring slots, padded to the longest."""
    kv_heads, _, head_dim = ask.keys.shape[1:]
    shape = (len(run.parts), run.longest, kv_heads, ask.group, head_dim)
    query = ask.query[run.take].view(shape).permute(0, 2, 3, 1, 4)
    mask = rows.mask(run, ask.window, ask.group)
    found = ask.attend(query.reshape(mask.shape[0], mask.shape[1], head_dim), run.slots, mask)
    found = found.view(query.shape).permute(0, 3, 1, 2, 4)
    ask.answer[run.rows] = found.reshape(len(run.take), -1, head_dim)[run.keep]


def _long(rows: PoolRows, run: Run, end: int, ask: _Ask) -> None:
    """A long part of one prompt, that ends before token `end`."""
    keys, values = ask.keys[run.slots, :, :end], ask.values[run.slots, :, :end]
    found = functional.scaled_dot_product_attention(
        ask.query[run.rows].transpose(0, 1)[None],
        keys.repeat_interleave(ask.group, dim=1),
        values.repeat_interleave(ask.group, dim=1),
        attn_mask=rows.mask(run, ask.window, 1)[:1, :, :end],
        scale=ask.scaling,
    )
    ask.answer[run.rows] = found[0].transpose(0, 1)


AttentionInterface.register(NAME, attend)
