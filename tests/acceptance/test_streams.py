"""Jobs as server-sent events on the real stack: complete text, whatever is lost."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis

from tests.conditions import eventually
from tests.stack import Stack

PROMPT = "one two three four five six seven eight nine ten " * 6


@dataclass(frozen=True, slots=True)
class Sent:
    """One server-sent event."""

    id: str
    name: str
    data: dict[str, Any]


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, redis_url: str
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("streams")
    running = Stack(folder, database_url=module_database_url, redis_url=redis_url,
                    LMAAS_ECHO_TOKENS_PER_S="60", LMAAS_RESTART_PAUSE_S="0.1")  # fmt: skip
    running.command("models_store", "echo", "--name", "echo")
    running.start("web", "dispatcher", "worker")
    running.ready()
    yield running
    running.close()


def submit(stack: Stack, *, stream: bool = True, **parameters: int) -> str:
    body = {"task": "generate", "model": "echo", "stream": stream, "input": {"prompt": PROMPT},
            "parameters": {"max_tokens": 100, **parameters}}  # fmt: skip
    answer = stack.http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@contextmanager
def followed(stack: Stack, id: str, after: str | None = None) -> Iterator[Iterator[Sent]]:
    """The events of a job as they come."""
    headers = {} if after is None else {"Last-Event-ID": after}
    with stack.http.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[Sent]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Sent(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


def text_of(events: list[Sent]) -> str:
    """What a client has at the end: text since the last restart."""
    text = ""
    for sent in events:
        if sent.name == "restarted":
            text = ""
        elif sent.name == "text":
            text += sent.data["text"]
    return text


def test_a_stream_tells_states_and_text_while_it_grows_and_the_end(stack: Stack) -> None:
    with followed(stack, submit(stack)) as stream:
        events = list(stream)
    states = [sent.data["status"] for sent in events if sent.name == "state"]
    assert states == ["queued", "running"]
    assert len([sent for sent in events if sent.name == "text"]) > 5
    end = events[-1]
    assert end.name == "end"
    assert end.data["status"] == "succeeded"
    assert text_of(events) == end.data["result"]["text"]


def test_a_reader_that_comes_back_gets_what_it_missed_and_nothing_twice(stack: Stack) -> None:
    id = submit(stack)
    first = []
    with followed(stack, id) as stream:
        for sent in stream:
            first.append(sent)
            if len(text_of(first)) > 60:
                break
    with followed(stack, id, after=first[-1].id) as stream:
        rest = list(stream)
    assert [sent.name for sent in rest[:-1]] == ["text"] * (len(rest) - 1)
    assert text_of(first) + text_of(rest) == rest[-1].data["result"]["text"]
    with followed(stack, id, after=rest[-1].id) as stream:  # after the end as well
        assert [sent.name for sent in stream] == ["end"]


def test_without_redis_nothing_is_missing_in_the_end(stack: Stack, redis_url: str) -> None:
    id = submit(stack)
    events = []
    with followed(stack, id) as stream:
        for sent in stream:
            events.append(sent)
            if sent.name == "text":
                break
        Redis.from_url(redis_url).flushall()
        events += list(stream)
    assert text_of(events) == events[-1].data["result"]["text"]


def texts_of(events: list[Sent]) -> dict[int, str]:
    """The text of each completion."""
    texts: dict[int, str] = {}
    for sent in events:
        if sent.name == "text":
            choice = sent.data["choice"]
            texts[choice] = texts.get(choice, "") + sent.data["text"]
    return texts


@pytest.mark.parametrize("loss", [False, True])
def test_each_text_says_which_completion_it_belongs_to(
    stack: Stack, redis_url: str, loss: bool
) -> None:
    id = submit(stack, n=3, max_tokens=30)
    first: list[Sent] = []
    with followed(stack, id) as stream:
        for sent in stream:
            first.append(sent)
            if 1 in texts_of(first):
                break
    if loss:
        Redis.from_url(redis_url).flushall()
    with followed(stack, id, after=first[-1].id) as stream:
        rest = list(stream)
    choices = rest[-1].data["result"]["choices"]
    assert texts_of(first + rest) == {n: choice["text"] for n, choice in enumerate(choices)}
    assert [len(choice["text"]) for choice in choices] == [30] * 3


def test_a_job_that_starts_again_says_so_and_its_text_begins_anew(stack: Stack) -> None:
    id = submit(stack)
    events = []
    with followed(stack, id) as stream:
        for sent in stream:
            events.append(sent)
            if sent.name == "text":
                break
        [worker] = stack.http.get("/v1/workers").json()["data"]
        os.kill(worker["pid"], signal.SIGKILL)
        events += list(stream)
    names = [sent.name for sent in events]
    assert names.count("restarted") == 1
    assert events[-1].data["attempt"] == 2
    assert text_of(events) == events[-1].data["result"]["text"]


def gaps(stack: Stack) -> tuple[float, float]:
    """How many were measured, and their sum."""
    text = stack.http.get("/metrics").text
    count, total = (
        float(text.partition(f"\nlmaas_stream_gap_seconds_{name} ")[2].split()[0])
        for name in ("count", "sum")
    )
    return count, total


def test_the_gaps_of_a_stream_are_those_of_its_text_and_not_of_its_reader(stack: Stack) -> None:
    id = submit(stack)
    count, total_s = gaps(stack)
    with followed(stack, id) as slow:
        next(slow)
        eventually(lambda: stack.http.get(f"/v1/jobs/{id}").json()["status"] == "succeeded")
        assert list(slow)[-1].name == "end"
    times = stack.http.get(f"/v1/jobs/{id}").json()["timings"]
    more, sum_s = gaps(stack)
    assert more - count > 10
    assert sum_s - total_s <= 100 * times["inter_token_s"] + 1
    with followed(stack, id) as again:  # what is told again has no gaps
        list(again)
    assert gaps(stack) == (more, sum_s)


def test_a_cancelled_job_ends_its_stream_with_the_text_it_had(stack: Stack) -> None:
    id = submit(stack)
    events = []
    with followed(stack, id) as stream:
        for sent in stream:
            events.append(sent)
            if sent.name == "text":
                break
        stack.http.post(f"/v1/jobs/{id}/cancel")
        events += list(stream)
    assert events[-1].data["status"] == "cancelled"
    assert "cancel_requested" in [s.data["status"] for s in events if s.name == "state"]
    assert text_of(events) == events[-1].data["result"]["text"] != ""


def test_a_job_that_does_not_stream_leaves_no_text_in_redis(stack: Stack, redis_url: str) -> None:
    with followed(stack, submit(stack, stream=False)) as stream:
        events = list(stream)
    assert text_of(events) == events[-1].data["result"]["text"]
    assert [sent.name for sent in events].count("text") == 1
    client = Redis.from_url(redis_url)
    assert not list(client.scan_iter(f"lmaas:tokens:{events[-1].data['id']}"))


def test_the_tokens_of_an_ended_job_leave_redis_soon(stack: Stack, redis_url: str) -> None:
    id = submit(stack)
    with followed(stack, id) as stream:
        assert list(stream)[-1].name == "end"
    client = Redis.from_url(redis_url)
    eventually(lambda: 0 < int(client.ttl(f"lmaas:tokens:{id}")) <= 30, what="a short life")


@pytest.mark.parametrize("place", ["x", "1.2", "1.2.3.4", "-1.0.0"])
def test_a_place_that_was_never_told_is_refused(stack: Stack, place: str) -> None:
    headers = {"Last-Event-ID": place}
    answer = stack.http.get(f"/v1/jobs/{submit(stack)}/events", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Last-Event-ID"


def test_somebody_elses_job_is_not_there(stack: Stack) -> None:
    id = submit(stack)
    other = stack.command("api.bootstrap", "--tenant", "other").strip()
    answer = stack.http.get(f"/v1/jobs/{id}/events", headers={"Authorization": f"Bearer {other}"})
    assert answer.status_code == 404
