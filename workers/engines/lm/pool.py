"""KV cache of sequences of about one length, in contiguous slots."""

from dataclasses import dataclass

import torch

from workers.engines.lm.sequence import Sequence


@dataclass(frozen=True, slots=True)
class KvShape:
    """What one token of one sequence costs in every layer."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values of one token over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize


class Pool:
    """Slots of `length` tokens each; sequences fill slots 0..n-1 without a gap.

    So attention over all of them reads a plain view, with no gather.
    `keys` and `values` are [layers, capacity, kv_heads, length, head_dim].
    """

    def __init__(self, shape: KvShape, length: int) -> None:
        self.length = length
        self.sequences: list[Sequence] = []
        self._shape = shape
        self.keys, self.values = self._new(0), self._new(0)

    @property
    def capacity(self) -> int:
        """Slots that have memory."""
        return self.keys.shape[1]

    @property
    def tokens(self) -> int:
        """Tokens that have memory."""
        return self.capacity * self.length

    def resize(self, capacity: int) -> None:
        """Changes the number of slots, at least as many as are in use."""
        used = len(self.sequences)
        for name in ("keys", "values"):
            resized = self._new(capacity)
            resized[:, :used] = getattr(self, name)[:, :used]
            setattr(self, name, resized)

    def append(self, sequence: Sequence) -> None:
        """Gives a sequence the next slot; its memory must be there."""
        sequence.slot = len(self.sequences)
        self.sequences.append(sequence)

    def take(self, sequence: Sequence) -> None:
        """Takes a sequence out; the last one moves into its slot."""
        last = self.sequences.pop()
        if last is not sequence:
            self.copy(last, self, sequence.slot)
            last.slot = sequence.slot
            self.sequences[last.slot] = last

    def copy(self, sequence: Sequence, target: "Pool", slot: int) -> None:
        """Copies the cached tokens of a sequence of this pool to a slot."""
        used = slice(0, sequence.cached)
        target.keys[:, slot, :, used] = self.keys[:, sequence.slot, :, used]
        target.values[:, slot, :, used] = self.values[:, sequence.slot, :, used]

    def _new(self, capacity: int) -> torch.Tensor:
        # Zeros, not empty: masked positions have weight 0, and 0 * NaN is NaN.
        shape = self._shape
        return torch.zeros(
            (shape.layers, capacity, shape.kv_heads, self.length, shape.head_dim),
            dtype=shape.dtype,
            device=shape.device,
        )
