"""The echo engine: answers with the prompt, without a model and without torch.

For tests and for measuring the queue alone: deterministic, and as slow as
wished.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tokenizers import Tokenizer

from jobs.errors import EngineFailed, InvalidRequest, PromptTooLong, UnsupportedParameter
from jobs.logprobs import Likelihood, TokenLogprobs, unforetold
from workers import exit_codes
from workers.engines.detokenizer import Reader, Vocabulary
from workers.engines.echo_vectors import EchoVectors
from workers.engines.protocol import (
    Chunk,
    FinishReason,
    Partial,
    Request,
    Texts,
    Work,
)

_LONGEST_NAP_S = 0.05


@dataclass(slots=True, eq=False)
class _Echo:
    request: Request
    reader: Reader
    began_s: float
    told: int = 0

    @property
    def tokens(self) -> int:
        """How many tokens this completion will have, without a stop string."""
        return min(len(self.request.prompt), self.request.sampling.max_tokens)


class EchoEngine:
    """Completes a prompt with its own tokens (`protocol.Engine`).

    The text is the decoded prompt up to `max_tokens` tokens; it ends with
    `stop` after the whole prompt or before a stop string. Each sequence gets
    `tokens_per_s` tokens a second; 0 gives all in one step. A step with
    nothing due waits for the next token, at most 50 ms. It is certain of each
    token; what would change a model's choice has nothing to choose from. Of
    texts it makes vectors (`echo_vectors`). A prompt or text that contains
    `poison` ends the process in its first step, as a bug in a kernel would.
    """

    def __init__(
        self,
        slots: int,
        tokens_per_s: float,
        folder: Path,
        *,
        poison: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._slots = slots
        self._tokens_per_s = tokens_per_s
        self._clock = clock
        self._sleep = sleep
        self._poison = poison
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._vocabulary = Vocabulary(self._tokenizer)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        self._context = int(config["max_position_embeddings"])
        self._echoes: dict[UUID, _Echo] = {}
        self._vectors = EchoVectors(tokens_per_s, clock)

    @property
    def slots(self) -> int:
        """The most sequences that may be added and not yet finished."""
        return self._slots

    @property
    def active(self) -> int:
        """Sequences added and not yet finished or removed."""
        return len(self._echoes) + len(self._vectors)

    def add(self, request: Work) -> None:
        """Takes a sequence in (`protocol.Engine.add`)."""
        taken = request.id in self._echoes or request.id in self._vectors
        if self.active >= self._slots or taken:
            raise EngineFailed(f"no slot for sequence {request.id}")
        if isinstance(request, Texts):
            self._vectors.add(request)
        else:
            self._add(request)

    def _add(self, request: Request) -> None:
        if not request.prompt or request.sampling.max_tokens < 0:
            raise InvalidRequest("a sequence needs a prompt")
        if len(request.prompt) >= self._context:
            raise PromptTooLong(
                f"the prompt has {len(request.prompt)} tokens; the context is {self._context}",
                param="prompt",
            )
        if request.grammar is not None:
            raise UnsupportedParameter(
                "the echo engine repeats the prompt and gives no other form",
                param="parameters.response_format",
            )
        reader = Reader(self._vocabulary, request.sampling.stop)
        self._echoes[request.id] = _Echo(request, reader, self._clock())

    def remove(self, id: UUID) -> Partial | None:
        """Takes a sequence out at once (`protocol.Engine.remove`)."""
        if self._vectors.remove(id):
            return Partial("", 0)
        echo = self._echoes.pop(id, None)
        return None if echo is None else Partial(echo.reader.flush(), echo.told)

    def step(self) -> list[Chunk]:
        """Tells the tokens that are due (`protocol.Engine.step`)."""
        if not self.active:
            return []
        self._wait()
        if self._poison and any(map(self._is_poisonous, self._texts())):
            os._exit(exit_codes.ENGINE)
        now = self._clock()
        chunks = [self._tell(echo, self._due(echo, now)) for echo in self._echoes.values()]
        told = [chunk for chunk in chunks if chunk is not None]
        for chunk in told:
            if chunk.finish_reason is not None:
                del self._echoes[chunk.id]
        return told + self._vectors.tell()

    def _texts(self) -> list[Sequence[int]]:
        return [echo.request.prompt for echo in self._echoes.values()] + self._vectors.texts

    def _wait(self) -> None:
        if not self._tokens_per_s:
            return
        due = (e.began_s + (e.told + 1) / self._tokens_per_s for e in self._echoes.values())
        nap_s = min(min(due, default=math.inf), self._vectors.next_s) - self._clock()
        if nap_s > 0:
            self._sleep(min(nap_s, _LONGEST_NAP_S))

    def _is_poisonous(self, text: Sequence[int]) -> bool:
        return self._poison in self._tokenizer.decode(list(text))

    def _due(self, echo: _Echo, now: float) -> int:
        if not self._tokens_per_s:
            return echo.tokens
        return min(echo.tokens, int((now - echo.began_s) * self._tokens_per_s))

    def _tell(self, echo: _Echo, due: int) -> Chunk | None:
        """The tokens up to number `due`; `None` if they were told before."""
        if due <= echo.told and echo.tokens:
            return None
        text, began = "", echo.told
        while echo.told < due and not echo.reader.stopped:
            text += echo.reader.feed(echo.request.prompt[echo.told])
            echo.told += 1
        reason: FinishReason | None = None
        if echo.told == echo.tokens or echo.reader.stopped:
            text += echo.reader.flush()
            whole = echo.told == len(echo.request.prompt)
            reason = "stop" if whole or echo.reader.stopped else "length"
        sampling, prompt = echo.request.sampling, echo.request.prompt
        certain = self._certain(prompt[began : echo.told], sampling.logprobs)
        read = () if began else self._certain(prompt, sampling.prompt_logprobs)
        if read:
            read = (unforetold(read[0].chosen.piece), *read[1:])
        return Chunk(echo.request.id, text, echo.told, reason, certain, read)

    def _certain(self, tokens: Sequence[int], wanted: int | None) -> tuple[TokenLogprobs, ...]:
        """The logprobs of tokens, if they are wanted."""
        if wanted is None:
            return ()
        sure = [Likelihood(self._vocabulary.bytes_of(token), 0.0) for token in tokens]
        return tuple(TokenLogprobs(own, (own,) if wanted else ()) for own in sure)
