"""The graph of a batch's states, and the copy of it that Postgres guards."""

import re
from importlib import import_module

import pytest

from jobs.batches.states import BATCH_TERMINAL, BATCH_TRANSITIONS, BatchState, before

# The newest copy; a revision that changes it is named here.
GUARD: str = import_module("migrations.versions.0017_live_batches").GUARD


def test_every_state_of_a_batch_has_a_row_in_the_table() -> None:
    assert set(BATCH_TRANSITIONS) == set(BatchState)


def test_a_batch_ends_in_one_of_four_states() -> None:
    assert {s.value for s in BATCH_TERMINAL} == {"completed", "failed", "expired", "cancelled"}


def test_postgres_guards_the_graph_of_the_table() -> None:
    rows = re.findall(r"OLD.status = '(\w+)' AND NEW.status IN \(([^)]*)\)", GUARD)
    guarded = {(start, end) for start, ends in rows for end in re.findall(r"'(\w+)'", ends)}
    assert guarded == {(a.value, b.value) for a, ends in BATCH_TRANSITIONS.items() for b in ends}


@pytest.mark.parametrize("state", set(BatchState) - {BatchState.VALIDATING})
def test_what_stands_before_a_state_is_what_leads_to_it(state: BatchState) -> None:
    assert before(state)
    assert all(state in BATCH_TRANSITIONS[BatchState(start)] for start in before(state))
