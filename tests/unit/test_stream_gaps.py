"""Which arrivals of a stream's text are measured as gaps, and which are not."""

from typing import Any, cast
from uuid import UUID, uuid4

from prometheus_client import REGISTRY

from api.streams import StreamHub
from bells.token_stream import Delta

BEGINNING = "0"


class Hub(StreamHub):
    """Hears what it is told, without Redis and a database."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None), cast(Any, None))

    def hear_text(self, job_id: UUID, before: str, now: str) -> float:
        """A piece of text; how many gaps were measured by it."""
        was = measured()
        self._hand_out(job_id, [Delta(1, 0, "text")], before, now)
        return measured() - was


def measured() -> float:
    return REGISTRY.get_sample_value("lmaas_stream_gap_seconds_count") or 0


def test_a_gap_is_between_two_pieces_and_what_is_told_again_has_none() -> None:
    hub, job_id = Hub(), uuid4()
    with hub.follow(job_id):
        assert hub.hear_text(job_id, BEGINNING, "1-0") == 0
        assert hub.hear_text(job_id, "1-0", "2-0") == 1
        with hub.follow(job_id):  # reads it from the beginning
            assert hub.hear_text(job_id, "2-0", "3-0") == 0  # was under way before
            assert hub.hear_text(job_id, BEGINNING, "3-0") == 0
            assert hub.hear_text(job_id, "3-0", "4-0") == 1


def test_nothing_is_measured_or_kept_of_jobs_that_nobody_follows() -> None:
    hub, job_id = Hub(), uuid4()
    with hub.follow(job_id):
        hub.hear_text(job_id, BEGINNING, "1-0")
    assert hub.hear_text(job_id, "1-0", "2-0") == 0
    with hub.follow(job_id):
        assert hub.hear_text(job_id, BEGINNING, "2-0") == 0
