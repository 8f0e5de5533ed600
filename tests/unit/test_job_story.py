"""Text and logprobs of a story are whole, whatever Redis lost of them."""

from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import pytest

from api.job_story import Ended, JobStory, Place, Restarted, Text
from bells.token_stream import Delta
from jobs.choices import Choice
from jobs.job_views import JobView
from jobs.logprobs import Likelihood, TokenLogprobs, shown


def sure(text: str) -> TokenLogprobs:
    return TokenLogprobs(Likelihood(text.encode(), -0.5))


# Two completions; "one" came with its tokens, "t" and "wo" with one token each.
WHOLE = [
    Delta(1, 0, "on", 0, 0, (sure("on"),)),
    Delta(1, 2, "", 0, 1, (sure("e"),)),
    Delta(1, 2, "e", 0, 2, (sure("."),)),
    Delta(1, 3, "t", 1, 3, (sure("t"),)),
    Delta(1, 4, "wo", 1, 4, (sure("wo"),)),
]
RESULT = [
    Choice("one", "stop", [shown(sure(t)) for t in ("on", "e", ".")]),
    Choice("two", "stop", [shown(sure(t)) for t in ("t", "wo")]),
]


@dataclass
class View:
    """A job that has ended."""

    attempt: int
    choices: list[Choice]


class Story(JobStory):
    """Told from deltas and a result, without a hub and a database."""

    def __init__(self, start: Place, attempts: int = 1) -> None:
        super().__init__(cast(Any, None), cast(Any, None), uuid4(), start)
        self._ended = View(attempts, RESULT)

    def _view(self) -> JobView:
        return cast(JobView, self._ended)

    def hear(self, deltas: list[Delta]) -> list[Any]:
        return list(self._told([], deltas, ended=True))


def gathered(told: list[Any]) -> list[tuple[str, list[str]]]:
    """Text and tokens of each completion."""
    found: list[tuple[str, list[str]]] = [("", []), ("", [])]
    for one in told:
        if isinstance(one, Text):
            text, tokens = found[one.choice]
            told_now = [entry["token"] for entry in one.logprobs]
            found[one.choice] = (text + one.text, tokens + told_now)
    return found


EXPECTED = [("one", ["on", "e", "."]), ("two", ["t", "wo"])]


@pytest.mark.parametrize("lost", [(), (0,), (1,), (2,), (3, 4), (0, 1, 2, 3, 4), (1, 3)])
@pytest.mark.parametrize("twice", [False, True])
def test_what_is_lost_or_doubled_is_told_once_from_the_result(
    lost: tuple[int, ...], twice: bool
) -> None:
    deltas = [delta for n, delta in enumerate(WHOLE) if n not in lost]
    told = Story(Place(attempt=1)).hear(deltas + deltas if twice else deltas)
    assert gathered(told) == EXPECTED
    assert isinstance(told[-1], Ended)


def test_a_reader_that_comes_back_gets_the_rest_of_the_text() -> None:
    told = Story(Place(attempt=1, offset=2)).hear(WHOLE)
    assert [text for text, _ in gathered(told)] == ["e", "two"]


def test_logprobs_alone_are_void_too_when_a_job_starts_again() -> None:
    story = Story(Place(attempt=1), attempts=2)
    told = story.hear([Delta(1, 0, "", 0, 0, (sure("bad"),)), Delta(2, 0, "on", 0, 0, ())])
    kinds = [type(one) for one in told]
    assert kinds.index(Restarted) == 1
    assert gathered(told[2:]) == EXPECTED
