"""The engine: sequences join and leave one running batch between its steps."""

import random
from pathlib import Path
from uuid import UUID

import torch

from jobs.errors import EngineFailed, FormNotFollowed
from jobs.logprobs import TokenLogprobs, unforetold
from workers.engines import devices
from workers.engines.detokenizer import Reader
from workers.engines.lm import admission
from workers.engines.lm.batch import Batch
from workers.engines.lm.cache import KvCache
from workers.engines.lm.loading import LoadedModel, load
from workers.engines.lm.logprobs import logprobs, score
from workers.engines.lm.sampler import choose
from workers.engines.lm.scheduler import Scheduler
from workers.engines.lm.sequence import Sequence
from workers.engines.lm.shaping import shaping_of
from workers.engines.protocol import Chunk, FinishReason, Partial, Request, Work, only

PROMPT_TOKENS_PER_STEP = 512
# Of these, those whose logprobs are wanted: each needs a row of the vocabulary's width.
SCORED_TOKENS_PER_STEP = 128
# The rest is for activations and for what else runs on the machine.
_CACHE_SHARE = 0.35


class LmEngine:
    """Continuous batching over one Hugging Face model (`protocol.Engine`).

    `kv_tokens` bounds the cache, in tokens; 0 takes a share of the memory
    that is free after loading. Not thread-safe: one thread drives it.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        slots: int,
        kv_tokens: int = 0,
        prompt_tokens_per_step: int = PROMPT_TOKENS_PER_STEP,
    ) -> None:
        self._model = model
        self._slots = slots
        free = int(devices.free_bytes(model.shape.device) * _CACHE_SHARE)
        cache = KvCache(model.shape, kv_tokens or free // model.shape.token_bytes, model.context)
        self._cache = cache
        self._scheduler = Scheduler(cache, prompt_tokens_per_step, SCORED_TOKENS_PER_STEP)

    @classmethod
    def load(
        cls, folder: Path, *, device: str, dtype: str, slots: int, kv_tokens: int, threads: int
    ) -> "LmEngine":
        """An engine for the model in a folder; the arguments are the settings
        of the same names. Raises `UnsupportedModel`, `ModelRefused`, `BadSettings`."""
        if threads:
            torch.set_num_threads(threads)
        place = devices.choose_device(device)
        model = load(folder, place, devices.choose_dtype(dtype, place))
        return cls(model, slots=slots, kv_tokens=kv_tokens)

    @property
    def slots(self) -> int:
        """The most sequences that may be added and not yet finished."""
        return self._slots

    @property
    def active(self) -> int:
        """Sequences added and not yet finished or removed."""
        return len(self._scheduler)

    @property
    def context_length(self) -> int:
        """The most tokens of prompt and completion together."""
        return self._model.context

    @property
    def kv_tokens(self) -> int:
        """The cache's budget, in tokens of all sequences together."""
        return self._cache.budget_tokens

    @property
    def allocated_kv_tokens(self) -> int:
        """Tokens that the cache has memory for now."""
        return self._cache.allocated_tokens

    def add(self, request: Work) -> None:
        """Takes a sequence in (`protocol.Engine.add`)."""
        request = only(Request, request)
        if self.active >= self._slots:
            raise EngineFailed(f"all {self._slots} slots are taken")
        if request.id in self._scheduler:
            raise EngineFailed(f"sequence {request.id} is in the batch already")
        admission.check_ids(request, self._model.network.config.vocab_size)
        limit = admission.limit(request, self._model.context, self._cache)
        self._scheduler.add(self._sequence(request, limit))

    def _sequence(self, request: Request, limit: int) -> Sequence:
        sampling = request.sampling
        model_ends = frozenset() if sampling.ignore_eos else self._model.ends
        ends = model_ends.union(sampling.stop_token_ids)
        generated: list[int] = []
        return Sequence(
            request=request,
            limit=limit,
            reserved=admission.cost(request, limit, self._cache),
            reader=Reader(self._model.vocabulary, sampling.stop),
            random=random.Random(sampling.seed),
            ends=ends,
            shaping=shaping_of(request, generated, self._model.ends),
            generated=generated,
            prompt_logprobs=[] if sampling.prompt_logprobs is None else [self._first(request)],
        )

    def _first(self, request: Request) -> TokenLogprobs:
        return unforetold(self._model.vocabulary.bytes_of(request.prompt[0]))

    @torch.inference_mode()
    def remove(self, id: UUID) -> Partial | None:
        """Takes a sequence out at once (`protocol.Engine.remove`)."""
        sequence = self._scheduler.remove(id)
        if sequence is None:
            return None
        return Partial(sequence.reader.flush(), len(sequence.generated))

    @torch.inference_mode()
    def step(self) -> list[Chunk]:
        """Schedules, runs the model once, chooses tokens (`protocol.Engine.step`)."""
        batch = Batch(self._cache, self._scheduler.prompts())
        if not batch.used_rows:
            return []
        logits = self._run(batch)
        batch.done()
        if batch.scored:
            score(logits[len(batch.sequences) :], batch.scored, self._model.vocabulary)
        chunks = [self._end_unwritten(sequence) for sequence in batch.read]
        if batch.sequences:
            chunks += self._generate(logits[: len(batch.sequences)], batch.sequences)
        return chunks

    def _generate(self, logits: torch.Tensor, sequences: list[Sequence]) -> list[Chunk]:
        tokens = choose(logits, sequences)
        chances = logprobs(logits, sequences, tokens, self._model.vocabulary)
        return [
            self._advance(sequence, tokens[row], chances.get(row))
            for row, sequence in enumerate(sequences)
        ]

    def _end_unwritten(self, sequence: Sequence) -> Chunk:
        """Ends a sequence that was only to be read."""
        self._scheduler.remove(sequence.request.id)
        told = sequence.prompt_logprobs
        return Chunk(sequence.request.id, "", 0, "length", prompt_logprobs=told)

    def _run(self, batch: Batch) -> torch.Tensor:
        answer = self._model.network(
            input_ids=batch.ids,
            position_ids=batch.positions,
            logits_to_keep=batch.wanted,
            use_cache=False,
            batch=batch,
        )
        logits: torch.Tensor = answer.logits[0]
        return logits

    def _advance(self, sequence: Sequence, token: int, chances: TokenLogprobs | None) -> Chunk:
        """Adds a token to a sequence; ends it or makes room for the next."""
        sequence.generated.append(token)
        ended = token in sequence.ends
        constraint = None if sequence.shaping is None else sequence.shaping.constraint
        if constraint is not None:
            if not ended:
                constraint.accept(token)
            if constraint.failure is not None:
                return self._give_up(sequence, constraint.failure)
        text = "" if ended else sequence.reader.feed(token)
        reason: FinishReason | None = None
        if ended or sequence.reader.stopped or (constraint is not None and constraint.complete):
            reason = "stop"
        elif len(sequence.generated) >= sequence.limit:
            reason = "length"
        if reason is None:
            self._cache.grow(sequence)
        else:
            self._scheduler.remove(sequence.request.id)
            text += sequence.reader.flush()
            # The end of the text may complete a stop string.
            reason = "stop" if sequence.reader.stopped else reason
        told = () if chances is None or (ended and not sequence.scores) else (chances,)
        read = sequence.prompt_logprobs if len(sequence.generated) == 1 else ()
        return Chunk(sequence.request.id, text, len(sequence.generated), reason, told, read)

    def _give_up(self, sequence: Sequence, why: str) -> Chunk:
        """Ends a sequence whose grammar can be followed no further."""
        self._scheduler.remove(sequence.request.id)
        error = FormNotFollowed(
            f"the response_format could not be followed to its end ({why}); simplify its schema"
        )
        tokens = len(sequence.generated)
        return Chunk(sequence.request.id, "", tokens, error=error)
