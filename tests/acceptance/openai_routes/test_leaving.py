"""Clients that go away, come too many, or wait for what is cancelled."""

import asyncio
import json
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.acceptance.openai_calls import HELLO, LONG, chat, complete, job_of, jobs
from tests.conditions import eventually
from tests.stack import Stack


def quiet_stream(client: OpenAI) -> Any:
    return chat(client, model="quiet", stream=True)


def test_a_reader_that_goes_away_cancels_its_job(client: OpenAI, stack: Stack) -> None:
    stream = chat(client, messages=[{"role": "user", "content": LONG}], max_tokens=None,
                  stream=True)  # fmt: skip
    first = next(iter(stream))
    next(iter(stream))
    stream.close()
    gone = eventually(
        lambda: job if (job := job_of(stack, first.id))["status"] == "cancelled" else None,
        within_s=20,
    )
    assert gone["result"]["usage"]["completion_tokens"] < len(LONG)


def test_with_every_place_taken_nothing_is_submitted(client: OpenAI, stack: Stack) -> None:
    streams = [quiet_stream(client) for _ in range(4)]
    before = jobs(stack)
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client)
    assert (caught.value.status_code, caught.value.code) == (503, "too_many_waiters")
    assert caught.value.response.headers["Retry-After"].isdecimal()
    assert jobs(stack) == before
    for stream, id in zip(streams, before, strict=False):
        stack.http.post(f"/v1/jobs/{id}/cancel")
        stream.close()
    eventually(lambda: stack.http.get("/v1/jobs", params={"status": "queued"}).json()["data"] == [])


def test_a_cancelled_job_is_an_error_that_no_retry_mends(client: OpenAI, stack: Stack) -> None:
    stream = quiet_stream(client)
    id = next(iter(stream)).id
    stack.http.post(f"/v1/jobs/{id.partition('-')[2]}/cancel")
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "job_cancelled"


def test_a_poll_of_a_cancelled_job_is_a_conflict(client: OpenAI, stack: Stack) -> None:
    async def both() -> None:
        async with AsyncOpenAI(base_url=client.base_url, api_key=client.api_key) as other:
            call = asyncio.create_task(other.chat.completions.create(model="quiet", messages=HELLO))
            while not (queued := jobs_of("quiet")):
                await asyncio.sleep(0.02)
            stack.http.post(f"/v1/jobs/{queued[0]}/cancel")
            with pytest.raises(openai.ConflictError) as caught:
                await call
            assert caught.value.code == "job_cancelled"
            assert caught.value.response.headers["x-should-retry"] == "false"

    def jobs_of(model: str) -> list[str]:
        query = {"model": model, "status": "queued"}
        return [job["id"] for job in stack.http.get("/v1/jobs", params=query).json()["data"]]

    asyncio.run(both())
    assert len(stack.http.get("/v1/jobs", params={"model": "quiet"}).json()["data"]) > 0


def newest(stack: Stack) -> dict[str, Any]:
    job: dict[str, Any] = stack.http.get("/v1/jobs", params={"limit": 1}).json()["data"][0]
    return job


@pytest.mark.parametrize("route", ["chat", "completions", "responses"])
def test_a_client_that_leaves_before_a_whole_answer_cancels_its_jobs(
    client: OpenAI, stack: Stack, route: str
) -> None:
    hasty = client.with_options(timeout=1.0)
    calls: dict[str, Callable[[], Any]] = {
        "chat": lambda: chat(hasty, messages=[{"role": "user", "content": LONG}], max_tokens=None),
        "completions": lambda: complete(hasty, [LONG, LONG], max_tokens=None),
        "responses": lambda: hasty.responses.create(model="echo", input=LONG),
    }
    before = len(jobs(stack))
    with pytest.raises(openai.APITimeoutError):
        calls[route]()
    made = jobs(stack)[: len(jobs(stack)) - before]
    assert len(made) == (2 if route == "completions" else 1)
    for id in made:
        gone = eventually(partial(ended, stack, id), within_s=3)
        assert gone["status"] == "cancelled"
        assert gone["result"]["usage"]["completion_tokens"] < len(LONG)
    assert "Traceback" not in stack.log("web")


def test_with_an_idempotency_key_the_jobs_go_on_and_are_found_again(
    client: OpenAI, stack: Stack
) -> None:
    given: Any = {
        "messages": [{"role": "user", "content": LONG}], "max_tokens": 200,
        "extra_headers": {"Idempotency-Key": "will-be-back"},
    }  # fmt: skip
    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.5), **given)
    id = newest(stack)["id"]
    assert chat(client, **given).id == f"chatcmpl-{id.replace('-', '')}"
    assert newest(stack)["status"] == "succeeded"


def test_a_client_that_reads_late_is_still_there(stack: Stack) -> None:
    """Bytes of a next request in the connection are no farewell."""
    body = json.dumps({"model": "echo", "prompt": LONG[:150], "max_tokens": 150}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.sendall(head.encode() + body + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        said = connection.recv(65_536)
    assert said.startswith(b"HTTP/1.1 200")


def ended(stack: Stack, id: str) -> dict[str, Any] | None:
    job: dict[str, Any] = stack.http.get(f"/v1/jobs/{id}").json()
    return None if job["status"] in ("queued", "running") else job
