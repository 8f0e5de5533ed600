"""The arithmetic of `explain`: properties, over random queues from fixed seeds."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from jobs.outlook.estimates import (
    Capacity,
    Flow,
    Interval,
    ahead_of,
    service,
    start_after,
    turn_of,
)
from jobs.outlook.work import Work, total, work_of

SEEDS = range(100)


def a_work(chance: random.Random) -> Work:
    jobs = chance.choice([0, 1, 2, 8, 50, 3_000])
    return work_of(
        jobs, jobs * chance.randint(1, 4_000), chance.uniform(0.0, 1.0), chance.choice([0, 3, 90])
    )


def jobs_of(chance: random.Random, most: int) -> list[Work]:
    """Single jobs of one flow."""
    fill, learned = chance.uniform(0, 1), chance.choice([0, 3, 90])
    return [
        work_of(1, chance.randint(1, 4_000), fill, learned) for _ in range(chance.randint(0, most))
    ]


def a_queue(chance: random.Random, capacity: Capacity) -> tuple[list[Interval], list[Work], Work]:
    """What runs, what is released, and what else is ahead."""
    busy = [
        service(job, capacity, full=True).after(chance.uniform(0, 9))
        for job in jobs_of(chance, capacity.slots)
    ]
    return busy, jobs_of(chance, 2 * capacity.slots), a_work(chance)


def a_capacity(chance: random.Random) -> Capacity:
    return Capacity(
        chance.choice([1, 2, 8, 128]),
        chance.choice([None, 0.5, 20.0, 900.0]),
        chance.choice([0, 4, 800]),
    )


def a_flow(chance: random.Random) -> Flow:
    jobs = chance.choice([0, 1, 3, 40, 900])
    return Flow(
        weight=chance.choice([0.5, 1.0, 8.0, 64.0]),
        start=chance.uniform(0, 900),
        fill=chance.uniform(0, 1),
        jobs=jobs,
        prompt_tokens=jobs * chance.randint(1, 900),
        max_tokens=jobs * chance.randint(1, 900),
        learned=chance.choice([0, 3, 90]),
        more=chance.random() < 0.2,
    )


def is_ordered(interval: Interval) -> bool:
    latest = interval.latest
    return 0 <= interval.earliest <= interval.expected and (
        latest is None or interval.expected <= latest
    )


def not_earlier(later: Interval, sooner: Interval) -> bool:
    slack = 1e-9
    return (
        later.earliest >= sooner.earliest - slack
        and later.expected >= sooner.expected - slack
        and (
            later.latest is None
            or (sooner.latest is not None and later.latest >= sooner.latest - slack)
        )
    )


@pytest.fixture(params=SEEDS)
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


def test_an_interval_holds_its_point(chance: random.Random) -> None:
    capacity = a_capacity(chance)
    busy, released, ahead = a_queue(chance, capacity)
    released += jobs_of(chance, 3)  # of another flow
    start = start_after(busy, released, ahead, capacity)
    own = work_of(1, chance.randint(1, 4_000), chance.uniform(0, 1))
    for interval in (start, service(own, capacity), start.then(service(own, capacity)),
                     start.not_before(chance.uniform(0, 100))):  # fmt: skip
        assert is_ordered(interval), interval


def test_more_work_ahead_never_gives_an_earlier_start(chance: random.Random) -> None:
    capacity = a_capacity(chance)
    busy, released, ahead = a_queue(chance, capacity)
    less = start_after(busy, released, ahead, capacity)
    assert not_earlier(start_after(busy, released, ahead + a_work(chance), capacity), less)
    assert not_earlier(start_after(busy, [*released, *released[:1]], ahead, capacity), less)
    longer = [each.then(Interval(1, 2, 3)) for each in busy]
    assert not_earlier(start_after(longer, released, ahead, capacity), less)


def test_more_slots_and_more_speed_never_give_a_later_start(chance: random.Random) -> None:
    capacity = a_capacity(chance)
    known = replace(capacity, tokens_per_s=capacity.tokens_per_s or 20.0)
    queue = a_queue(chance, known)
    less = start_after(*queue, known)
    assert not_earlier(less, start_after(*queue, replace(known, slots=known.slots * 2)))
    quicker = replace(known, tokens_per_s=(known.tokens_per_s or 0) * 3)
    assert not_earlier(less, start_after(*queue, quicker))


def test_work_that_is_added_never_makes_what_is_sure_less(chance: random.Random) -> None:
    works = [a_work(chance) for _ in range(5)]
    for one, other in pairwise(total(works[:count]) for count in range(6)):
        assert other.least >= one.least - 1e-6
        assert other.most >= one.most - 1e-6
        assert other.least <= other.expected <= other.most


def before(flow: Flow, turn: float, waiting: float | None = None) -> Work:
    return ahead_of(turn, [flow], waiting)


def test_a_later_turn_never_lets_less_of_a_flow_go_before(chance: random.Random) -> None:
    flow, turn = a_flow(chance), chance.uniform(0, 2_000)
    waiting = chance.choice([None, 0.0, 70.0])
    sooner = before(flow, turn, waiting)
    later = before(flow, turn + chance.uniform(0, 900), waiting)
    for name in ("jobs", "least", "expected", "most"):
        assert getattr(later, name) >= getattr(sooner, name) - 1e-9


def test_a_flow_sends_no_more_than_its_share_and_no_more_than_it_has(
    chance: random.Random,
) -> None:
    flow, turn = a_flow(chance), chance.uniform(0, 2_000)
    sent = before(flow, turn)
    share = flow.weight * max(0.0, turn - flow.start)
    assert sent.expected <= share + 1e-6
    assert flow.before(turn).jobs <= flow.jobs + 1e-9
    if not flow.more:
        assert sent.jobs <= flow.jobs + 1e-9


def test_what_of_a_flow_was_not_counted_goes_on_like_the_rest_as_far_as_there_is_any() -> None:
    counted = Flow(weight=1, start=0, fill=1, jobs=10, prompt_tokens=0, max_tokens=1_000)
    turn = 5_000.0
    assert before(counted, turn).jobs == 10
    more = before(replace(counted, more=True), turn)
    assert more.jobs == pytest.approx(50)
    assert more.least == pytest.approx(250)  # of the ten that were seen
    assert more.expected == pytest.approx(5_000)
    few = before(replace(counted, more=True), turn, waiting=5)
    assert few.jobs == pytest.approx(15)
    assert few.expected == pytest.approx(1_500)


def test_equal_flows_share_equally_and_weights_count() -> None:
    own = turn_of(start=0, ahead=0, own_floor=100, own=500, weight=1)
    assert turn_of(start=0, ahead=300, own_floor=100, own=500, weight=1) == 800
    equal = Flow(weight=1, start=100, fill=1, jobs=100, prompt_tokens=0, max_tokens=10_000)
    heavy = replace(equal, weight=8)
    sent = [before(flow, own).expected for flow in (equal, heavy)]
    assert sent == pytest.approx([500, 4_000])
    assert ahead_of(own, [equal, heavy]).expected == pytest.approx(4_500)


def test_a_free_slot_means_now_and_a_full_engine_does_not() -> None:
    capacity = Capacity(slots=4, tokens_per_s=100)
    ends = [Interval(each, each, each) for each in (4.0, 1.0, 3.0, 2.0)]
    assert start_after(ends[:3], [], Work(), capacity).expected == 0
    assert start_after(ends, [], Work(), capacity).expected == 1  # the first of four ends
    behind = work_of(400, 40_000, 1.0)
    assert start_after(ends, [], behind, capacity).expected == pytest.approx(102, rel=0.02)


def test_released_jobs_take_the_slots_that_become_free_in_their_order() -> None:
    capacity = Capacity(slots=2, tokens_per_s=1)
    ends = [Interval(each, each, each) for each in (1.0, 2.0)]
    for sizes, free in (((), 1), ((5,), 2), ((5, 1), 3), ((5, 1, 4), 6), ((1, 5), 2)):
        released = [work_of(1, size, 1.0) for size in sizes]
        assert start_after(ends, released, Work(), capacity).expected == free


def test_jobs_that_made_nothing_so_far_may_make_all_they_may() -> None:
    silent = [work_of(1, 100, 0.0, learned=2)]
    start = start_after([], silent, Work(), Capacity(slots=1, tokens_per_s=10))
    assert start.earliest == start.expected == 0
    assert start.latest is not None
    assert start.latest > 10


def test_work_that_nobody_counted_leaves_no_latest_time() -> None:
    ahead = total([work_of(10, 100, 1.0), work_of(5, 50, 0.5, more=True)])
    assert ahead.more
    assert start_after([], [], ahead, Capacity(1, 10.0)).latest is None
    assert start_after([], [], ahead, Capacity(100, 10.0)).latest is None


def test_a_job_for_later_starts_no_earlier() -> None:
    moved = Interval(0, 1, 5).not_before(60)
    assert (moved.earliest, moved.expected) == (60, 60)
    assert moved.latest is not None
    assert moved.latest > 60
