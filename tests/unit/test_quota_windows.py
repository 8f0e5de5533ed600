"""The sliding minute: never more than the limit within any 60 seconds, and no wait too many."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.quotas.windows import SLOTS, empty_s, wait_s

slots = st.lists(st.integers(0, 5), min_size=SLOTS, max_size=SLOTS)


def moved(window: list[int], seconds: int) -> list[int]:
    return ([0] * seconds + window)[:SLOTS]


def test_any_sixty_seconds_lie_within_the_slots() -> None:
    assert SLOTS == 61


@given(slots, st.integers(1, 400), st.integers(1, 20))
def test_the_wait_is_the_shortest_after_which_it_passes(
    window: list[int], limit: int, wanted: int
) -> None:
    wait = wait_s(window, limit, wanted)
    if wait is None:
        assert wanted > limit
        return
    assert sum(moved(window, wait)) + wanted <= limit
    assert wait == 0 or sum(moved(window, wait - 1)) + wanted > limit


@given(slots)
def test_after_the_reset_nothing_counts_and_before_something_does(window: list[int]) -> None:
    reset = empty_s(window)
    assert sum(moved(window, reset)) == 0
    assert reset == 0 or sum(moved(window, reset - 1)) > 0
