"""Waiting for jobs, their results and their errors, and reading pages."""

from collections.abc import Iterator

import pytest

from lmaas import Client, JobCancelled, JobExpired, JobFailed, WaitTimeout
from tests.unit.scripted_server import KEY, Answer, ScriptedServer, job, running


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running() as started:
        yield started


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.url, KEY, patience_s=1) as opened:
        yield opened


def test_a_result_is_waited_for_with_long_polls(server: ScriptedServer, client: Client) -> None:
    server.script = [Answer(200, job("j", "queued")), Answer(200, job("j", "running"))]
    server.jobs["j"] = job("j")
    result = client.result("j")
    assert (result.text, result.finish_reason) == ("ready", "stop")
    assert result.usage.total_tokens == 3
    assert [request.query["wait"] for request in server.requests] == ["30", "30", "30"]


@pytest.mark.parametrize(
    ("status", "error"),
    [("failed", JobFailed), ("cancelled", JobCancelled), ("expired", JobExpired)],
)
def test_a_job_that_ended_otherwise_raises_its_own_error(
    server: ScriptedServer, client: Client, status: str, error: type[JobFailed]
) -> None:
    server.jobs["j"] = job("j", status)
    with pytest.raises(error) as caught:
        client.result("j")
    assert caught.value.job.status == status
    assert caught.value.code == ("engine_failed" if status == "failed" else f"job_{status}")


def test_waiting_longer_than_the_timeout_leaves_the_job_alone(
    server: ScriptedServer, client: Client
) -> None:
    server.jobs["j"] = job("j", "running")
    with pytest.raises(WaitTimeout, match="goes on"):
        client.result("j", timeout_s=0.3)
    assert not server.to("/v1/jobs/j/cancel")


def test_a_server_that_answers_polls_at_once_is_not_hammered(
    server: ScriptedServer, client: Client
) -> None:
    server.jobs["j"] = job("j", "running")
    with pytest.raises(WaitTimeout):
        client.wait("j", timeout_s=1)
    assert len(server.requests) <= 8


def test_all_pages_are_read_one_after_the_other(server: ScriptedServer, client: Client) -> None:
    pages = [
        {"object": "list", "data": [job("a"), job("b")], "next_cursor": "next"},
        {"object": "list", "data": [job("c")], "next_cursor": None},
    ]
    server.script = [Answer(200, page) for page in pages]
    assert [item.id for item in client.jobs(status="succeeded")] == ["a", "b", "c"]
    first, second = server.requests
    assert first.query == {"status": "succeeded", "limit": "100"}
    assert second.query["cursor"] == "next"


def test_unknown_fields_and_missing_parts_do_not_break_an_older_client(
    server: ScriptedServer, client: Client
) -> None:
    server.script = [Answer(200, {**job("j", "queued"), "colour": "blue", "timings": None})]
    seen = client.get("j")
    assert seen.timings.latency_s is None
    assert not seen.ended


def test_the_latency_is_what_the_server_saw(server: ScriptedServer, client: Client) -> None:
    server.jobs["j"] = job("j")
    assert client.get("j").timings.latency_s == 2


def test_times_of_tokens_are_read_and_an_older_server_tells_none(
    server: ScriptedServer, client: Client
) -> None:
    times = {"time_to_first_token_s": 0.4, "inter_token_s": 0.012}
    server.jobs["new"] = job("new", timings=times)
    server.jobs["old"] = job("old")
    new, old = client.get("new").timings, client.get("old").timings
    assert (new.time_to_first_token_s, new.inter_token_s) == (0.4, 0.012)
    assert (old.time_to_first_token_s, old.inter_token_s) == (None, None)
