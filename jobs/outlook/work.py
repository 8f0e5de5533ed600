"""How much work jobs are: the completion tokens that they will probably make, and how
far off that may be.

A flow's jobs use a learned part of their `max_tokens`, its `fill`. A part with a known
mean spreads at most as far as if every job made all of its tokens or none, so nothing
else needs to be known of them. The jobs of a queue differ each for itself, so their sum is
surer than each of them. The mean is as sure as it was often seen, and what it is off by
all jobs have in common.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from math import hypot, sqrt

# Part of the expected tokens that jobs make at least, whatever is known of them.
LEAST = 0.25
# Standard deviations between what is probable and what is least or most: one of twenty
# lies beyond, if they are many.
_CAUTION = 1.64
# The mean forgets: it rests on no more jobs than about this.
_REMEMBERED = 19


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs and the completion tokens they still make, probably; from `low` to `high`
    as far as one does not know what is usual, and `below` and `above` that as far as
    each job is not like the others. `more`: there are others that nobody counted, so
    `most` is no bound."""

    jobs: float = 0.0
    low: float = 0.0
    expected: float = 0.0
    high: float = 0.0
    below: float = 0.0
    above: float = 0.0
    more: bool = False

    @property
    def least(self) -> float:
        """What they make at least, as far as one may rely on it."""
        return max(0.0, self.low - self.below)

    @property
    def most(self) -> float:
        """What they make at most, as far as one may rely on it."""
        return self.high + self.above

    def __add__(self, other: "Work") -> "Work":
        # `hypot` is never more than the sum, so that more work never makes less.
        return Work(
            self.jobs + other.jobs,
            self.low + other.low,
            self.expected + other.expected,
            self.high + other.high,
            hypot(self.below, other.below),
            hypot(self.above, other.above),
            self.more or other.more,
        )

    def unsure(self, part: float = 1.0) -> "Work":
        """A part of it that may not come at all."""
        return Work(
            part * self.jobs, 0.0, part * self.expected,
            part * self.high, 0.0, part * self.above, self.more,
        )  # fmt: skip


def total(works: Iterable[Work]) -> Work:
    """All of it."""
    return reduce(Work.__add__, works, Work())


def work_of(
    jobs: float, max_tokens: float, fill: float, learned: float = 0, *, more: bool = False
) -> Work:
    """The work of jobs of one flow that wait; they use about `fill` of their
    `max_tokens`, as was learned from `learned` jobs."""
    expected = fill * max_tokens
    one = fill * (1 - fill) + 1 / (4 * (learned + 1))
    usual = _CAUTION * max_tokens * sqrt(one / (min(learned, _REMEMBERED) + 1))
    # Jobs are seldom of one size: as sure as half as many equal ones.
    each = _CAUTION * max_tokens * sqrt(one / max(1.0, jobs / 2))
    below, above = (1 - LEAST) * expected, max_tokens - expected
    low, high = min(below, usual), min(above, usual)
    return Work(
        jobs, expected - low, expected, expected + high,
        min(below - low, each), min(above - high, each), more,
    )  # fmt: skip
