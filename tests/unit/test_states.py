"""The state graph: what may follow what, and what is final."""

import pytest

from jobs.states import CLASS_OFFSET_S, TERMINAL, TRANSITIONS, Priority, State


def test_every_state_has_a_row_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


def test_the_graph_is_the_one_that_the_architecture_promises() -> None:
    ways = {(start.value, end.value) for start, ends in TRANSITIONS.items() for end in ends}
    ends = {"succeeded", "failed", "cancelled", "expired"}
    assert ways == (
        {("queued", "running"), ("running", "queued")}
        | {("running", end) for end in ends}
        | {("queued", end) for end in ends - {"succeeded"}}
    )


def test_the_terminal_states_are_those_that_lead_nowhere() -> None:
    assert {state.value for state in TERMINAL} == {"succeeded", "failed", "cancelled", "expired"}


@pytest.mark.parametrize("state", State)
def test_no_state_leads_to_itself(state: State) -> None:
    assert state not in TRANSITIONS[state]


@pytest.mark.parametrize("state", sorted(set(State) - {State.QUEUED}))
def test_every_state_can_be_reached_from_queued(state: State) -> None:
    reached, fresh = {State.QUEUED}, {State.QUEUED}
    while fresh:
        fresh = {end for start in fresh for end in TRANSITIONS[start]} - reached
        reached |= fresh
    assert state in reached


def test_a_more_urgent_class_never_waits_for_a_less_urgent_one_of_the_same_age() -> None:
    offsets = [CLASS_OFFSET_S[priority] for priority in Priority]
    assert offsets == sorted(offsets)
    assert set(CLASS_OFFSET_S) == set(Priority)
