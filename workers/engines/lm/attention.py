"""Attention of a flat batch to the slots of the KV cache.

Registered under one name with transformers' AttentionInterface, so that the
model classes stay as they are. On a GPU the same seam is where a kernel for
sequences of different lengths goes.

Decoding and short prompts use two batched matrix products with the query
heads that share a key head as rows. On a CPU that is about three times as
fast as scaled_dot_product_attention, whose blocks are made for long queries;
long prompts use the latter, which never holds all scores.
"""

from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from workers.engines.lm.batch import Batch, PoolRows
from workers.engines.lm.rows import Decode, Part, Run

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
        if rows.decode.slots:
            _decode(rows, keys, values, query, answer, scaling, window)
        for run in rows.runs:
            if part := run.alone:
                _long(rows, run, part, keys, values, query, answer, scaling, window)
            else:
                _short(rows, run, keys, values, query, answer, scaling, window)
    return answer


def _write(slots: torch.Tensor, rows: PoolRows, new: torch.Tensor) -> None:
    head_dim = new.shape[-1]
    slots.view(-1, head_dim).index_copy_(0, rows.write, new[rows.rows].reshape(-1, head_dim))


def _scores_times_values(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """[slots * kv_heads, queries, head_dim] to the same shape; `keys` and
    `values` are [slots, kv_heads, length, head_dim]."""
    keys, values = keys.flatten(0, 1), values.flatten(0, 1)
    scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=scaling)
    return torch.bmm(torch.softmax(scores, -1), values)


def _decode(
    rows: PoolRows,
    keys: torch.Tensor,
    values: torch.Tensor,
    query: torch.Tensor,
    answer: torch.Tensor,
    scaling: float,
    window: int | None,
) -> None:
    decode: Decode = rows.decode
    kv_heads, _, head_dim = keys.shape[1:]
    grouped = query[decode.rows].reshape(decode.slots * kv_heads, -1, head_dim)
    mask = rows.mask(decode, window, grouped.shape[1])
    used = slice(0, decode.slots)
    found = _scores_times_values(grouped, keys[used], values[used], mask, scaling)
    answer[decode.rows] = found.view(decode.slots, -1, head_dim)


def _short(
    rows: PoolRows,
    run: Run,
    keys: torch.Tensor,
    values: torch.Tensor,
    query: torch.Tensor,
    answer: torch.Tensor,
    scaling: float,
    window: int | None,
) -> None:
    """Parts of prompts in neighbouring slots, padded to the longest."""
    kv_heads, _, head_dim = keys.shape[1:]
    slots, group = len(run.parts), query.shape[1] // kv_heads
    padded = query[run.take].view(slots, run.longest, kv_heads, group, head_dim)
    grouped = padded.permute(0, 2, 3, 1, 4).reshape(slots * kv_heads, -1, head_dim)
    mask = rows.mask(run, window, group)
    found = _scores_times_values(grouped, keys[run.slots], values[run.slots], mask, scaling)
    found = found.view(slots, kv_heads, group, run.longest, head_dim).permute(0, 3, 1, 2, 4)
    answer[run.rows] = found.reshape(slots * run.longest, -1, head_dim)[run.keep]


def _long(
    rows: PoolRows,
    run: Run,
    part: Part,
    keys: torch.Tensor,
    values: torch.Tensor,
    query: torch.Tensor,
    answer: torch.Tensor,
    scaling: float,
    window: int | None,
) -> None:
    """A long part of one prompt."""
    kv_heads = keys.shape[1]
    group = query.shape[1] // kv_heads
    end = part.end
    found = functional.scaled_dot_product_attention(
        query[run.rows].transpose(0, 1)[None],
        keys[run.slots, :, :end].repeat_interleave(group, dim=1),
        values[run.slots, :, :end].repeat_interleave(group, dim=1),
        attn_mask=rows.mask(run, window, 1)[:1, :, :end],
        scale=scaling,
    )
    answer[run.rows] = found[0].transpose(0, 1)


AttentionInterface.register(NAME, attend)
