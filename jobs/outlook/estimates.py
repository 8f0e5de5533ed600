"""When will a job start and finish: the arithmetic, as pure functions.

The model is a queue before `slots` equal servers, each of which makes a known
number of tokens a second. Before a job go the running ones, those with a lower
turn, and of each other flow as much as its weight gives it until then
(`jobs.shares.fair_share` decides by the same rule). Times are seconds from now.

More work ahead never gives an earlier time, and each interval holds its point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

from jobs.outlook.work import Work, total, work_of

# A cautious guess of one decode step under load, until a model version's own
# speed is known. Used for ranks by deadline too.
GUESSED_TOKEN_S = 0.05
# How far off the speed may be (slower, faster) while it is guessed; once learned, with a
# part that shrinks as it was seen more often.
_GUESSED_SPREAD = (4.0, 10.0)
_LEARNED_SPREAD = (1.25, 1.15)
_NEW_SPREAD = (0.25, 0.35)
_HALF_KNOWN = 5
# A slot in an engine that is not full may be that much faster than slots were.
_ALONE = 1.5
# A bell may be lost: workers look by themselves, once a second each.
_SLACK_S = 2.0


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
    learned: float = 0
    more: bool = False

    @property
    def charge(self) -> float:
        """Tokens that release charges for all of it."""
        return max(1.0, self.prompt_tokens + self.fill * self.max_tokens)

    def before(self, turn: float) -> Work:
        """What was counted of it and goes before a job with that turn."""
        return self._work(min(1.0, self._part(turn)))

    def beyond(self, turn: float) -> Work:
        """What goes before that turn besides, if there is so much of it: what was
        not counted is taken to be like the rest, and may be none."""
        part = self._part(turn) - 1.0
        if not self.more or part <= 0:
            return Work()
        return self._work(part).unsure()

    def _work(self, part: float) -> Work:
        return work_of(part * self.jobs, part * self.max_tokens, self.fill, self.learned)

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
    """Slots of the ready workers; `tokens_per_s` of one slot, None if not learned, and
    from how many jobs."""

    slots: int
    tokens_per_s: float | None
    learned: int = 0

    @property
    def speeds(self) -> tuple[float, float, float]:
        """Tokens a second of one slot while all are in use: at least, probably, at most."""
        speed = self.tokens_per_s or 1 / GUESSED_TOKEN_S
        slower, faster = _GUESSED_SPREAD
        if self.tokens_per_s:
            new = 1 / (1 + self.learned / _HALF_KNOWN)
            slower, faster = (
                known + new * more for known, more in zip(_LEARNED_SPREAD, _NEW_SPREAD, strict=True)
            )
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

    def after(self, seconds: float) -> "Interval":
        """What is left of it when so much has passed."""
        late = None if self.latest is None else max(_SLACK_S, self.latest - seconds)
        return Interval(max(0.0, self.earliest - seconds), max(0.0, self.expected - seconds), late)

    def then(self, other: "Interval") -> "Interval":
        """One thing after the other."""
        late = None if None in (self.latest, other.latest) else _sum(self.latest, other.latest)
        return Interval(self.earliest + other.earliest, self.expected + other.expected, late)


def _sum(one: float | None, other: float | None) -> float:
    return (one or 0.0) + (other or 0.0)


def start_after(
    busy: Sequence[Interval], released: Sequence[Work], ahead: Work, capacity: Capacity
) -> Interval:
    """When a slot is free for a job that has this before it: the running jobs by what
    is left of each, the released ones, each a `Work`, in their order, and all else.

    While jobs wait no slot is idle. So all work before it, done by all slots, is the
    latest, and it starts when all but `slots - 1` of the jobs before it have ended.
    """
    slow, speed, fast = capacity.speeds
    first = total(released)
    both = first + ahead
    usual = [work.expected for work in released]

    def free(ends: Sequence[float], sizes: Sequence[float], all_s: float) -> list[float]:
        idle = [0.0] * (max(1, capacity.slots) - len(ends))
        part = all_s / max(sum(sizes), 1e-9)
        return _loads([*ends, *idle], [part * size for size in sizes])

    early = free([each.earliest for each in busy], usual, first.least / fast)
    about = free([each.expected for each in busy], usual, first.expected / speed)
    expected = _behind(about, ahead.jobs, ahead.expected / speed)
    latest = None
    if not both.more and None not in (lasts := [each.latest for each in busy]):
        ends = [last or 0.0 for last in lasts]
        late = free(ends, [work.most for work in released], first.most / slow)
        rest = max(0.0, both.most - first.most) / slow
        latest = (sum(late) + rest) / len(late) if ahead.jobs else late[0]
        latest = max(expected, latest) + _SLACK_S
    return Interval(_behind(early, ahead.jobs, (both.least - first.least) / fast), expected, latest)


def _loads(loads: list[float], jobs: Sequence[float]) -> list[float]:
    """When each slot is free once every job in turn has taken the first free one."""
    heapify(loads)
    for job in jobs:
        heapreplace(loads, loads[0] + job)
    return sorted(loads)


def _behind(loads: Sequence[float], jobs: float, seconds: float) -> float:
    """When a slot is free behind so many jobs that take so long in all, whichever of
    them are the last to run."""
    if jobs <= 0:
        return loads[0]
    at, filled = 0.0, 0.0
    for slots, load in enumerate(loads, 1):
        filled += load
        at = max(load, (filled + seconds * (1 + (1 - slots) / jobs)) / slots)
        if slots < len(loads) and at <= loads[slots]:
            break
    return at


def service(own: Work, capacity: Capacity, *, full: bool = False) -> Interval:
    """How long a job holds its slot; `full`: while all the others are in use too."""
    slow, speed, fast = capacity.speeds
    if not full:
        fast = max(fast, _ALONE * speed)
    return Interval(own.least / fast, own.expected / speed, own.most / slow + _SLACK_S)


def ahead_of(turn: float, others: Sequence[Flow], waiting: float | None = None) -> Work:
    """What of the other flows goes before a turn. `waiting`: how many jobs wait
    besides those that were counted, about, if that is known."""
    counted = total(flow.before(turn) for flow in others)
    beyond = total(flow.beyond(turn) for flow in others)
    if waiting is not None and beyond.jobs > waiting:
        beyond = beyond.unsure(waiting / beyond.jobs)
    return counted + beyond
