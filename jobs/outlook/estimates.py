"""When will a job start and finish: the arithmetic, as pure functions.

The model is a queue before `slots` equal servers, each of which makes a known
number of tokens a second. Before a job go the running ones, those with a lower
turn, and of each other flow as much as its weight gives it until then
(`jobs.shares.fair_share` decides by the same rule). Times are seconds from now.

More work ahead never gives an earlier time, and each interval holds its point.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

# A cautious guess of one decode step under load, until a model version's own
# speed is known. Used for ranks by deadline too.
GUESSED_TOKEN_S = 0.05
# How far off the speed may be, once learned and while guessed (slower, faster).
_LEARNED_SPREAD = (1.5, 1.5)
_GUESSED_SPREAD = (4.0, 10.0)
# Part of the expected tokens that a job makes at least; most is its max_tokens.
_LEAST_TOKENS = 0.25
# A bell may be lost: workers look by themselves, once a second each.
_SLACK_S = 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs and the completion tokens they still make: at least, probably, at
    most. `more`: there are others that nobody counted, so `most` is no bound."""

    jobs: float = 0.0
    least: float = 0.0
    expected: float = 0.0
    most: float = 0.0
    more: bool = False

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.jobs + other.jobs,
            self.least + other.least,
            self.expected + other.expected,
            self.most + other.most,
            self.more or other.more,
        )

    def scaled(self, part: float) -> "Work":
        """A part of it, or several times as much."""
        return Work(
            part * self.jobs, part * self.least, part * self.expected, part * self.most, self.more
        )


def total(works: Iterable[Work]) -> Work:
    """All of it."""
    return reduce(Work.__add__, works, Work())


def work_of(jobs: int, max_tokens: int, fill: float, *, more: bool = False) -> Work:
    """The work of jobs that wait; they use about `fill` of their `max_tokens`."""
    expected = fill * max_tokens
    return Work(jobs, _LEAST_TOKENS * expected, expected, max_tokens, more)


@dataclass(frozen=True, slots=True)
class Flow:
    """What waits of one tenant in one class, as far as it was counted; the turn
    of its first job begins at `start`."""

    weight: float
    start: float
    fill: float
    jobs: int
    prompt_tokens: int
    max_tokens: int
    more: bool = False

    @property
    def charge(self) -> float:
        """Tokens that release charges for all of it."""
        return max(1.0, self.prompt_tokens + self.fill * self.max_tokens)

    def before(self, turn: float) -> Work:
        """What was counted of it and goes before a job with that turn."""
        part = min(1.0, self._part(turn))
        whole = work_of(self.jobs, self.max_tokens, self.fill)
        return whole.scaled(part)

    def beyond(self, turn: float) -> Work:
        """What goes before that turn besides, if there is so much of it: what was
        not counted is taken to be like the rest, and may be none."""
        part = self._part(turn) - 1.0
        if not self.more or part <= 0:
            return Work()
        whole = work_of(self.jobs, self.max_tokens, self.fill).scaled(part)
        return Work(whole.jobs, 0.0, whole.expected, whole.most)

    def _part(self, turn: float) -> float:
        """Its share until that turn, as a part of what was counted."""
        share = self.weight * max(0.0, turn - self.start)
        return share / self.charge if self.jobs else 0.0


def turn_of(start: float, ahead: float, own_floor: float, own: float, weight: float) -> float:
    """The turn of a job before which its own flow, from `start` on, is charged for
    `ahead` tokens, and which cannot begin before its own floor."""
    return max(start + ahead / weight, own_floor) + own / weight


@dataclass(frozen=True, slots=True)
class Capacity:
    """Slots of the ready workers; `tokens_per_s` of one slot, None if not learned."""

    slots: int
    tokens_per_s: float | None

    @property
    def speeds(self) -> tuple[float, float, float]:
        """Tokens a second of one slot: at least, probably, at most."""
        speed = self.tokens_per_s or 1 / GUESSED_TOKEN_S
        slower, faster = _LEARNED_SPREAD if self.tokens_per_s else _GUESSED_SPREAD
        return speed / slower, speed, speed * faster


@dataclass(frozen=True, slots=True)
class Interval:
    """Seconds from now; `latest` is None if nothing bounds it."""

    earliest: float
    expected: float
    latest: float | None

    def not_before(self, seconds: float) -> "Interval":
        """The same for a job that may not start earlier than that."""
        return Interval(
            max(seconds, self.earliest),
            max(seconds, self.expected),
            None if self.latest is None else max(seconds + _SLACK_S, self.latest),
        )

    def then(self, other: "Interval") -> "Interval":
        """One thing after the other."""
        late = None if None in (self.latest, other.latest) else _sum(self.latest, other.latest)
        return Interval(self.earliest + other.earliest, self.expected + other.expected, late)


def _sum(one: float | None, other: float | None) -> float:
    return (one or 0.0) + (other or 0.0)


def start_after(ahead: Work, running: Work, capacity: Capacity) -> Interval:
    """When a slot is free for a job that has this before it.

    While jobs wait no slot is idle, so all work before it done by all slots is
    the latest; it starts when all but `slots - 1` of the jobs before it have
    ended, which needs their part of the work.
    """
    slots = max(1, capacity.slots)
    before = ahead + running
    blocked = max(0.0, before.jobs - slots + 1)
    if not blocked:
        return Interval(0.0, 0.0, None if before.more else _SLACK_S)
    slow, speed, fast = capacity.speeds
    part = min(1.0, blocked / max(before.jobs, 1.0))
    return Interval(
        part * before.least / (slots * fast),
        part * before.expected / (slots * speed),
        None if before.more else before.most / (slots * slow) + _SLACK_S,
    )


def service(own: Work, capacity: Capacity) -> Interval:
    """How long a job holds its slot."""
    slow, speed, fast = capacity.speeds
    return Interval(own.least / fast, own.expected / speed, own.most / slow + _SLACK_S)


def ahead_of(turn: float, others: Sequence[Flow], waiting: float | None = None) -> Work:
    """What of the other flows goes before a turn. `waiting`: how many jobs wait
    besides those that were counted, about, if that is known."""
    counted = total(flow.before(turn) for flow in others)
    beyond = total(flow.beyond(turn) for flow in others)
    if waiting is not None and beyond.jobs > waiting:
        beyond = beyond.scaled(waiting / beyond.jobs)
    return counted + beyond
