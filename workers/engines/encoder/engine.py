"""The engine: each step reads one batch of the texts that wait."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import torch

from jobs.errors import EngineFailed, InvalidRequest, PromptTooLong
from workers.engines import devices
from workers.engines.encoder.loading import LoadedEncoder, load
from workers.engines.encoder.pooling import pool, unit
from workers.engines.encoder.waiting import Waiting, WaitingTexts
from workers.engines.protocol import Chunk, Partial, Texts, Vector, Work, only

# More fill a GPU better; on a CPU they only make a cancel wait longer.
TOKENS_PER_STEP = {"cpu": 2_048, "cuda": 65_536}


@dataclass(slots=True, eq=False)
class _Reading:
    """A request, and how many of its texts are still to be read."""

    request: Texts
    left: int


class EncoderEngine:
    """Vectors of texts with one encoder (`protocol.Engine`).

    A vector does not depend on the texts beside it, but for the rounding of
    another order of sums. Not thread-safe: one thread drives it.
    """

    def __init__(self, model: LoadedEncoder, *, slots: int, tokens_per_step: int = 0) -> None:
        self._model = model
        self._slots = slots
        self._device = model.network.device
        self._padding = int(model.network.config.pad_token_id or 0)
        self._waiting = WaitingTexts(tokens_per_step or TOKENS_PER_STEP[self._device.type])
        self._readings: dict[UUID, _Reading] = {}

    @classmethod
    def load(
        cls, folder: Path, *, device: str, dtype: str, slots: int, threads: int
    ) -> "EncoderEngine":
        """An engine for the model in a folder; the arguments are the settings of
        the same names, but that `auto` is float32 here: vectors are compared by
        small differences. Raises `UnsupportedModel`, `ModelRefused`, `BadSettings`."""
        if threads:
            torch.set_num_threads(threads)
        place = devices.choose_device(device)
        wanted = devices.choose_dtype("float32" if dtype == "auto" else dtype, place)
        return cls(load(folder, place, wanted), slots=slots)

    @property
    def slots(self) -> int:
        """The most requests that may be added and not yet finished."""
        return self._slots

    @property
    def active(self) -> int:
        """Requests added and not yet finished or removed."""
        return len(self._readings)

    def add(self, request: Work) -> None:
        """Takes a request in (`protocol.Engine.add`)."""
        request = only(Texts, request)
        if self.active >= self._slots or request.id in self._readings:
            raise EngineFailed(f"no slot for request {request.id}")
        self._check(request)
        self._readings[request.id] = _Reading(request, len(request.texts))
        self._waiting.add(request)

    def _check(self, request: Texts) -> None:
        context, vocabulary = self._model.context, self._model.vocab_size
        if not request.texts or not all(request.texts):
            raise InvalidRequest("a request needs texts of at least one token")
        longest = max(map(len, request.texts))
        if longest > context:
            raise PromptTooLong(f"a text has {longest} tokens; the model reads {context}")
        if min(map(min, request.texts)) < 0 or max(map(max, request.texts)) >= vocabulary:
            raise InvalidRequest(f"a text has token ids outside 0..{vocabulary - 1}")

    def remove(self, id: UUID) -> Partial | None:
        """Takes a request out at once (`protocol.Engine.remove`)."""
        self._waiting.remove(id)
        return None if self._readings.pop(id, None) is None else Partial("", 0)

    @torch.inference_mode()
    def step(self) -> list[Chunk]:
        """Reads one batch (`protocol.Engine.step`)."""
        batch = self._waiting.take()
        if not batch:
            return []
        vectors = self._read(batch)
        units, usable = unit(vectors), torch.isfinite(vectors).all(-1).tolist()
        plain, unitary = _bytes(vectors), _bytes(units)
        found: dict[UUID, list[Vector | None]] = {}
        for row, text in enumerate(batch):
            values = unitary[row] if self._wants_unit(text.id) else plain[row]
            vector = Vector(text.number, values) if usable[row] else None
            found.setdefault(text.id, []).append(vector)
        return [self._tell(id, some) for id, some in found.items()]

    def _read(self, batch: list[Waiting]) -> torch.Tensor:
        """The batch's vectors, [texts, width]."""
        longest = batch[-1].length
        ids = torch.full((len(batch), longest), self._padding)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, text in enumerate(batch):
            tokens = self._readings[text.id].request.texts[text.number]
            ids[row, : text.length] = torch.tensor(tokens)
            mask[row, : text.length] = 1
        mask = mask.to(self._device)
        states = self._model.network(input_ids=ids.to(self._device), attention_mask=mask)
        return pool(states.last_hidden_state, mask, self._model.sentence.pooling)

    def _wants_unit(self, id: UUID) -> bool:
        wanted = self._readings[id].request.normalize
        return self._model.sentence.normalize if wanted is None else wanted

    def _tell(self, id: UUID, found: list[Vector | None]) -> Chunk:
        vectors = tuple(vector for vector in found if vector is not None)
        if len(vectors) < len(found):
            self.remove(id)
            broken = EngineFailed("the model's numbers for a text are not finite")
            return Chunk(id, "", 0, error=broken)
        reading = self._readings[id]
        reading.left -= len(vectors)
        if reading.left:
            return Chunk(id, "", 0, vectors=vectors)
        del self._readings[id]
        return Chunk(id, "", 0, "stop", vectors=vectors)


def _bytes(vectors: torch.Tensor) -> list[bytes]:
    rows = vectors.cpu().numpy().astype("<f4")
    return [row.tobytes() for row in rows]
