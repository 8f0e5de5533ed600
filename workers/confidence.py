"""How much a worker trusts its engine.

A worker that starts in a crash loop trusts nothing: its engine first completes a
prompt of ours, so that a broken device or model dies with no job in hand, and
then one job alone. After that it is a worker like any other.
"""

from uuid import UUID

from jobs.ids import new_id
from workers.engines.protocol import Engine, Request, Sampling

PROOF_PROMPT = "hello"
_PROOF_TOKENS = 2


class Confidence:
    """Whether this process has finished a job, and what it may claim until then."""

    def __init__(self) -> None:
        self.careful = False
        self.proven = False

    def gain(self) -> None:
        """A sequence ran to its end on the engine."""
        self.proven = True

    def room(self, slots: int, in_engine: int) -> int:
        """How many jobs may be claimed now."""
        allowed = 1 if self.careful and not self.proven else slots
        return max(0, allowed - in_engine)


def prove(engine: Engine, prompt: list[int]) -> Engine:
    """The engine, once it has completed a prompt; raises what it raises, or
    dies as it would have died with a job. Call it in the engine's own thread."""
    id: UUID = new_id()
    engine.add(Request(id, prompt, Sampling(max_tokens=_PROOF_TOKENS)))
    while engine.active:
        engine.step()
    return engine
