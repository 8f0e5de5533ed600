"""Fair shares hold whatever comes: by weight, for every flow, without lost room."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.shares.fair_share import Flow, Head, choose
from jobs.states import Priority


def heads(count: int, tokens: int = 100, floor: float = 0.0) -> list[Head]:
    return [Head(uuid4(), float(number), floor, 0, tokens) for number in range(count)]


def flow(
    jobs: Sequence[Head],
    *,
    weight: float = 1.0,
    priority: Priority = Priority.NORMAL,
    virtual: float = 0.0,
    fill: float = 1.0,
) -> Flow:
    return Flow(uuid4(), priority, weight, virtual, fill, jobs)


def owner(flows: Sequence[Flow]) -> dict[UUID, int]:
    return {job.id: index for index, one in enumerate(flows) for job in one.heads}


def shares(flows: Sequence[Flow], target: int) -> list[int]:
    """How many jobs of each flow are among the first `target`."""
    of = owner(flows)
    count = Counter(of[pick.id] for pick in choose(flows, [], target).picks)
    return [count[index] for index in range(len(flows))]


def test_tenants_with_equal_weights_get_equal_tokens_not_equal_jobs() -> None:
    short, long = flow(heads(400, 10)), flow(heads(400, 100))
    picked = shares([short, long], 220)
    assert picked[0] * 10 == pytest.approx(picked[1] * 100, abs=100)


def test_a_weight_of_three_gets_three_times_the_tokens() -> None:
    one, three = shares([flow(heads(400)), flow(heads(400), weight=3.0)], 200)
    assert three == pytest.approx(3 * one, abs=3)


def test_who_comes_late_does_not_wait_for_who_came_first() -> None:
    first = flow(heads(1000), virtual=50_000.0)
    late = flow(heads(10, floor=50_000.0))
    assert shares([first, late], 20) == [10, 10]


def test_who_was_away_gets_no_credit_for_it() -> None:
    busy = flow(heads(100, floor=0.0), virtual=9_000.0)
    back = flow(heads(100, floor=9_000.0), virtual=10.0)
    assert shares([busy, back], 40) == [20, 20]


def test_batch_work_fills_what_others_leave_and_steps_back_for_them() -> None:
    batch = flow(heads(500), priority=Priority.BATCH)
    urgent = flow(heads(60), priority=Priority.INTERACTIVE)
    of = owner([batch, urgent])
    order = [of[pick.id] for pick in choose([batch, urgent], [], 200).picks]
    assert order[:60] == [1] * 60  # all that is urgent, before any batch job
    assert order[60:] == [0] * 140  # and nothing is left empty


def test_batch_work_never_stands_still() -> None:
    batch = flow(heads(10), priority=Priority.BATCH)
    urgent = flow(heads(1000), priority=Priority.INTERACTIVE)
    assert shares([batch, urgent], 650)[0] == 10


def test_within_a_flow_jobs_go_by_rank_and_ties_go_to_the_older() -> None:
    one, two = flow(heads(3)), flow([replace(job, rank=job.rank - 0.5) for job in heads(3)])
    of = owner([one, two])
    picks = choose([one, two], [], 6).picks
    assert [of[pick.id] for pick in picks] == [1, 0, 1, 0, 1, 0]
    assert [pick.id for pick in picks if of[pick.id] == 0] == [job.id for job in one.heads]


def test_released_jobs_with_an_earlier_turn_count_towards_the_target() -> None:
    waiting = flow(heads(10))  # turns 100/8, 200/8, ...
    assert len(choose([waiting], [1.0, 2.0, 3.0], 5).picks) == 2
    assert choose([waiting], [1.0] * 5, 5).picks == []
    # Later ones do not: better work goes beside them.
    assert len(choose([waiting], [1e9] * 5, 5).picks) == 5


def test_a_flow_that_may_have_more_says_so_only_if_all_it_gave_was_taken() -> None:
    more = replace(flow(heads(4)), more=True)
    assert choose([more], [], 8).unsure
    assert not choose([more], [], 3).unsure
    assert not choose([flow(heads(4))], [], 8).unsure


def test_learned_use_counts_not_what_was_asked_for() -> None:
    honest = flow(heads(400, 100))
    careless = flow(heads(400, 1000), fill=0.1)
    one, other = shares([honest, careless], 200)
    assert one == other


@dataclass
class Line:
    """A flow over many rounds: its waiting jobs, and the tokens it was given."""

    flow: Flow
    waiting: list[Head]
    given: int = field(default=0)


weights = st.sampled_from([0.5, 1.0, 2.0, 5.0])
lines = st.lists(
    st.tuples(weights, st.sampled_from(Priority), st.integers(1, 300)), min_size=2, max_size=6
)


@given(lines, st.integers(1, 16))
def test_busy_flows_share_by_weight_within_one_job_in_every_round(
    wanted: list[tuple[float, Priority, int]], target: int
) -> None:
    """The bound of Golestani's theorem: two flows that are busy all the time
    differ in tokens by weight by no more than one job of each."""
    all_lines = [
        Line(flow([], weight=weight, priority=priority), heads(200, tokens))
        for weight, priority, tokens in wanted
    ]
    for _ in range(100 // target + 1):
        shown = [replace(line.flow, heads=line.waiting[:target]) for line in all_lines]
        of = owner(shown)
        choice = choose(shown, [], target)
        assert len(choice.picks) == target  # no room is left while work waits
        for pick in choice.picks:
            line = all_lines[of[pick.id]]
            line.waiting.pop(0)
            line.given += pick.charged
        for index, virtual in choice.virtual.items():
            all_lines[index].flow = replace(all_lines[index].flow, virtual=virtual)
        fair = [line.given / line.flow.weight for line in all_lines]
        most = [line.waiting[0].max_tokens / line.flow.weight for line in all_lines]
        for mine, step in zip(fair, most, strict=True):
            assert all(mine <= other + step + its + 1e-6
                       for other, its in zip(fair, most, strict=True))  # fmt: skip
