"""The graph of a batch's states, and the copy of it that Postgres guards."""

import re
from importlib import import_module

import pytest

from jobs.batches.states import BATCH_TERMINAL, BATCH_TRANSITIONS, BatchState, before
from tests.conditions import ROOT

# The newest copy; a revision that changes it is named here.
GUARD: str = import_module("migrations.versions.0017_live_batches").GUARD


def test_every_state_of_a_batch_has_a_row_in_the_table() -> None:
    assert set(BATCH_TRANSITIONS) == set(BatchState)


def test_a_batch_ends_in_one_of_four_states() -> None:
    assert {s.value for s in BATCH_TERMINAL} == {"completed", "failed", "expired", "cancelled"}


def test_the_graph_of_the_page_is_the_table() -> None:
    page = (ROOT / "docs" / "batches.md").read_text()
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", page, re.MULTILINE))
    assert drawn == {(a.value, b.value) for a, ends in BATCH_TRANSITIONS.items() for b in ends}


def test_postgres_guards_the_graph_of_the_table() -> None:
    rows = re.findall(r"OLD.status = '(\w+)' AND NEW.status IN \(([^)]*)\)", GUARD)
    guarded = {(start, end) for start, ends in rows for end in re.findall(r"'(\w+)'", ends)}
    assert guarded == {(a.value, b.value) for a, ends in BATCH_TRANSITIONS.items() for b in ends}


@pytest.mark.parametrize("state", sorted(set(BatchState) - {BatchState.VALIDATING}))
def test_what_stands_before_a_state_is_what_leads_to_it(state: BatchState) -> None:
    assert before(state)
    assert all(state in BATCH_TRANSITIONS[BatchState(start)] for start in before(state))
