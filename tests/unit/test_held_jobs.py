"""What a worker keeps of a job between claim and commit."""

from uuid import UUID

import pytest

from jobs.envelopes import ClaimedJob
from jobs.ids import new_id
from jobs.states import State
from workers.completions import storable
from workers.held_jobs import HeldJob, HeldJobs


def a_job(id: UUID | None = None) -> HeldJob:
    return HeldJob(ClaimedJob(id or new_id(), new_id(), "generate", 1, {}, {}))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("plain", "plain"),
        ("grüße 😀", "grüße 😀"),
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("é\udfff\x00", "é\ufffd\ufffd"),
    ],
)
def test_what_postgres_cannot_hold_is_replaced_and_the_rest_kept(text: str, stored: str) -> None:
    assert storable(text) == stored
    stored.encode("utf-8")


def test_an_outcome_holds_the_text_of_all_steps() -> None:
    held = a_job()
    held.grow("", 0)
    assert held.first_token_at is None
    held.grow("a", 1)
    held.grow("\x00b", 3)
    outcome = held.outcome(State.SUCCEEDED, "stop")
    assert (outcome.text, outcome.completion_tokens) == ("a\ufffdb", 3)
    assert outcome.first_token_age_s is not None
    assert outcome.first_token_age_s >= 0


def test_a_slot_is_free_when_the_sequence_left_even_before_the_commit() -> None:
    table, held = HeldJobs(), a_job()
    table.add(held)
    assert (table.in_engine, len(table)) == (1, 1)
    table.leave_engine(held)
    table.leave_engine(held)
    assert (table.in_engine, len(table)) == (0, 1)
    table.let_go(held, State.SUCCEEDED)
    assert (table.in_engine, len(table)) == (0, 0)
    assert held.ended.is_set()
    assert held.state is State.SUCCEEDED


def test_letting_go_of_an_old_attempt_leaves_the_new_one_alone() -> None:
    table, id = HeldJobs(), new_id()
    old, new = a_job(id), a_job(id)
    table.add(old)
    table.let_go(old, None)
    table.add(new)
    table.let_go(old, None)
    assert table.get(id) is new
    assert table.in_engine == 1
