"""How much a worker trusts its engine.

A worker that starts in a crash loop trusts nothing: its engine first completes a
prompt of ours, so that a broken device or model dies with no job in hand, and
then one job alone. After that it is a worker like any other.
"""

from workers.engines.protocol import Engine, Work


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


def prove(engine: Engine, work: Work) -> Engine:
    """The engine, once it has done this work; raises what it raises, or
    dies as it would have died with a job. Call it in the engine's own thread."""
    engine.add(work)
    while engine.active:
        engine.step()
    return engine
