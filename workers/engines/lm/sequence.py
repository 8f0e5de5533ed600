"""One sequence in the engine."""

import random
from dataclasses import dataclass, field

from jobs.logprobs import TokenLogprobs
from workers.engines.detokenizer import Reader
from workers.engines.lm.shaping import Shaping
from workers.engines.protocol import Request


@dataclass(slots=True, eq=False)
class Sequence:
    """A request, what was generated for it, and where its cache lies.

    `cached` counts the tokens whose keys and values are in the cache;
    `length` and `slot` say where they lie;
    `limit` is the most completion tokens it may get; `reserved` is its share
    of the cache budget, in tokens. `random` is its own, so that its draws do
    not depend on its neighbours. `ends` are the ids that end it; `shaping` is
    there if its scores are changed before a token is chosen; `prompt_logprobs`
    grow with its prompt, if they were asked for.
    """

    request: Request
    limit: int
    reserved: int
    reader: Reader
    random: random.Random
    ends: frozenset[int] = frozenset()
    shaping: Shaping | None = None
    generated: list[int] = field(default_factory=list)
    cached: int = 0
    length: int = 0
    slot: int = -1
    prompt_logprobs: list[TokenLogprobs] = field(default_factory=list)

    @property
    def prompt_left(self) -> int:
        """Prompt tokens that are not in the cache yet."""
        return max(0, len(self.request.prompt) - self.cached)

    @property
    def scores(self) -> bool:
        """Whether its prompt's logprobs are wanted."""
        return self.request.sampling.prompt_logprobs is not None

    @property
    def decoding(self) -> bool:
        """Whether the next step feeds the last generated token."""
        return bool(self.generated)
