"""Times of tokens of one job: of what is there, and None of what is not."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from jobs.job_views import JobView
from jobs.token_times import BOUNDS_S, first_token_s, inter_token_s

QUEUED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class View:
    """What of a job the times are made of, in seconds after the submit."""

    first: float | None
    finished: float | None
    completion_tokens: int | None
    submitted_at: datetime = QUEUED

    @property
    def first_token_at(self) -> datetime | None:
        return None if self.first is None else QUEUED + timedelta(seconds=self.first)

    @property
    def finished_at(self) -> datetime | None:
        return None if self.finished is None else QUEUED + timedelta(seconds=self.finished)


@pytest.mark.parametrize(
    ("view", "first_s", "each_s"),
    [
        (View(None, None, None), None, None),  # waits, or runs
        (View(None, 3, 0), None, None),  # ended without a token
        (View(2, 3, 1), 2, None),  # one token has none after it
        (View(2, 3, 2), 2, 1),
        (View(2, 3, 5), 2, 0.25),  # of several completions too: one after the other
    ],
)
def test_times_are_told_as_far_as_there_are_any(
    view: View, first_s: float | None, each_s: float | None
) -> None:
    job = cast(JobView, view)
    assert (first_token_s(job), inter_token_s(job)) == (first_s, each_s)


def test_bounds_rise() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
