"""A job's completions run one after the other in one slot, until it is taken out."""

import threading
from typing import Any, cast
from uuid import UUID

import pytest

from bells.token_stream import Delta, TokenWriter
from jobs.envelopes import ClaimedJob, Outcome
from jobs.errors import FormNotFollowed
from jobs.ids import new_id
from jobs.logprobs import Likelihood, TokenLogprobs, unforetold
from jobs.states import State
from workers.engines.protocol import Chunk, FinishReason, Partial, Request, Sampling
from workers.held_jobs import HeldJob, HeldJobs
from workers.model_server import ModelServer
from workers.preparation import next_request
from workers.result_writer import ResultWriter
from workers.running_jobs import RunningJobs


class Book:
    """Stands for the Model Server, the writer and the stream; notes what is asked of them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.written: list[Outcome] = []
        self.told: list[Delta] = []

    def add(self, request: Request) -> None:
        self.asked.append(("add", request.sampling.seed))

    def remove(self, id: UUID) -> None:
        self.asked.append(("remove", id))

    def write(self, held: HeldJob, outcome: Outcome) -> None:
        self.written.append(outcome)

    def tell(self, job_id: UUID, delta: Delta) -> None:
        self.told.append(delta)


class Case:
    """One job of three completions, of which the first has begun."""

    def __init__(self) -> None:
        self.book = Book()
        self.table = HeldJobs()
        self.room = threading.Event()
        self.running = RunningJobs(
            held=self.table,
            writer=cast(ResultWriter, self.book),
            tokens=cast(TokenWriter, self.book),
            room=self.room,
            ran_well=lambda: None,
        )
        self.running.start(cast(ModelServer, self.book))
        job = ClaimedJob(new_id(), new_id(), "generate", 1, {}, {}, stream=True)
        self.held = HeldJob(job, wanted=3)
        self.held.request = Request(self.held.sequence_id, [1], Sampling(9, seed=40))
        self.table.add(self.held)
        self.running.begin(self.held, self.held.request)

    def says(
        self,
        text: str,
        tokens: int,
        reason: FinishReason | None = None,
        logprobs: tuple[TokenLogprobs, ...] = (),
    ) -> None:
        chunk = Chunk(self.held.sequence_id, text, tokens, reason, logprobs)
        self.running.on_chunks([chunk])

    @property
    def outcome(self) -> Outcome:
        [found] = self.book.written
        return found


@pytest.fixture
def case() -> Case:
    return Case()


def test_the_next_begins_when_one_ends_with_the_next_seed_and_in_the_same_slot(case: Case) -> None:
    case.says("one", 3, "stop")
    case.says("two", 3, "length")
    assert case.book.asked == [("add", 40), ("add", 41), ("add", 42)]
    assert (case.table.in_engine, case.room.is_set(), case.book.written) == (1, False, [])
    case.says("th", 2)
    case.says("ree", 5, "stop")
    assert (case.table.in_engine, case.room.is_set()) == (0, True)
    found = case.outcome
    assert (found.state, found.finish_reason, found.text) == (State.SUCCEEDED, "stop", "one")
    assert found.completion_tokens == 3 + 3 + 5
    assert found.details == {
        "choices": [
            {"text": "one", "finish_reason": "stop"},
            {"text": "two", "finish_reason": "length"},
            {"text": "three", "finish_reason": "stop"},
        ]
    }


def test_deltas_count_characters_through_all_and_name_their_completion(case: Case) -> None:
    for text, reason in (("one", "stop"), ("t", None), ("wo", "stop"), ("3", "stop")):
        case.says(text, 1, reason)  # type: ignore[arg-type]
    assert [(d.offset, d.text, d.choice) for d in case.book.told] == [
        (0, "one", 0),
        (3, "t", 1),
        (4, "wo", 1),
        (6, "3", 2),
    ]


SURE = TokenLogprobs(Likelihood(b"x", -0.5))


def test_logprobs_are_streamed_beside_their_text_and_without_any(case: Case) -> None:
    case.says("", 1, logprobs=(SURE,))
    case.says("one", 3, "stop", (SURE, SURE))
    case.says("t", 1, logprobs=(SURE,))
    told = [(d.offset, d.text, d.choice, d.token, len(d.logprobs)) for d in case.book.told]
    assert told == [(0, "", 0, 0, 1), (0, "one", 0, 1, 2), (3, "t", 1, 3, 1)]


def test_what_a_stream_may_not_hold_is_left_to_the_result(case: Case) -> None:
    case.held.stream_left = 40
    for text in ("one", "two", "three"):
        case.says(text, 1, logprobs=(SURE,))
    assert [d.text for d in case.book.told] == ["one", "two"]
    case.says("", 1, "stop")
    assert case.held.choices[0].text == "onetwothree"


def test_the_prompt_is_scored_once_for_all_completions(case: Case) -> None:
    request = case.held.request
    assert request is not None
    asked = Request(request.id, [1], Sampling(9, prompt_logprobs=1))
    assert next_request(asked, 1).sampling.prompt_logprobs is None
    read = [unforetold(b"a"), SURE]
    case.running.on_chunks([Chunk(case.held.sequence_id, "", 0, "length", prompt_logprobs=read)])
    case.says("", 0, "length")
    case.says("", 0, "length")
    details = case.outcome.details
    assert [one["logprob"] for one in details["prompt_logprobs"]] == [None, -0.5]
    assert len(details["choices"]) == 3


def test_a_cancel_in_the_middle_keeps_what_is_there(case: Case) -> None:
    case.says("one", 3, "stop")
    case.says("tw", 2)
    case.running.end(case.held.job.id, State.CANCELLED)
    assert case.book.asked[-1] == ("remove", case.held.sequence_id)
    case.running.on_removed(case.held.sequence_id, Partial("o", 3))
    found = case.outcome
    assert (found.state, found.finish_reason, found.text) == (State.CANCELLED, "cancelled", "one")
    assert found.completion_tokens == 6
    assert found.details["choices"] == [
        {"text": "one", "finish_reason": "stop"},
        {"text": "two", "finish_reason": "cancelled"},
    ]


@pytest.mark.parametrize("state", [State.CANCELLED, State.EXPIRED])
def test_nothing_follows_a_completion_that_ends_while_its_job_is_taken_out(
    case: Case, state: State
) -> None:
    case.running.end(case.held.job.id, state)
    case.says("one", 3, "stop")
    assert case.book.asked == [("add", 40), ("remove", case.held.sequence_id)]
    assert case.outcome.state is state
    assert case.outcome.details["choices"] == [{"text": "one", "finish_reason": "stop"}]
    assert (case.table.in_engine, case.room.is_set()) == (0, True)


def test_nothing_follows_when_the_job_is_dropped_between_two_completions(case: Case) -> None:
    case.held.leaving = True  # as `drop` leaves it for a moment, before it lets the job go
    case.says("one", 3, "stop")
    assert case.book.asked == [("add", 40)]
    assert case.book.written == []
    assert case.table.in_engine == 0


def test_a_completion_that_cannot_go_on_fails_its_job_for_good(case: Case) -> None:
    case.says("one", 3, "stop")
    error = FormNotFollowed("too complex")
    case.running.on_chunks([Chunk(case.held.sequence_id, "", 2, error=error)])
    found = case.outcome
    assert (found.state, found.error_code) == (State.FAILED, "response_format_failed")
    assert (found.retryable, found.text, case.table.in_engine) == (False, None, 0)
