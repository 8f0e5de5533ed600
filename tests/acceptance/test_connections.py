"""Connections to the real web process: many requests on one, half ones, odd ones, and its end."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx2 as httpx
import pytest

from tests.conditions import eventually
from tests.stack import Stack

HEAD = "GET /health/live HTTP/1.1\r\nHost: here\r\nx-request-id: {name}\r\n{more}\r\n"


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("web"),
        database_url=module_database_url,
        redis_url=redis_url,
        LMAAS_WEB_PROCESSES="1",
        LMAAS_MAX_WAITERS="8",  # few threads
        LMAAS_DRAIN_S="6",
    )
    started.command("models_store", "echo")
    started.start("web")
    started.ready(workers=0)
    yield started
    started.close()


def request(name: str, more: str = "") -> bytes:
    return HEAD.format(name=name, more=more).encode()


def names(stack: Stack, *parts: bytes) -> list[bytes]:
    """The names of the requests that were answered, until the server closed."""
    said = b""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        while more := connection.recv(65_536):
            said += more
    assert set(re.findall(rb"HTTP/1.1 (\d+)", said)) == {b"200"}
    return re.findall(rb"x-request-id: (\w+)", said, re.IGNORECASE)


def test_requests_that_come_together_are_all_answered_in_their_order(stack: Stack) -> None:
    close = "Connection: close\r\n"
    together = request("one") + request("two") + request("three", close)
    assert names(stack, together) == [b"one", b"two", b"three"]
    assert "Traceback" not in stack.log("web")


def test_a_request_that_comes_in_pieces_is_one(stack: Stack) -> None:
    second = request("two", "Connection: close\r\n")
    assert names(stack, request("one"), second[:20], second[20:]) == [b"one", b"two"]


def test_a_client_that_leaves_half_a_request_behind_harms_nobody(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.sendall(request("one"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(request("two")[:20])
    assert stack.http.get("/health/live").status_code == 200
    assert "Traceback" not in stack.log("web")


def test_more_half_requests_than_there_are_threads_stop_nobody(stack: Stack) -> None:
    with ExitStack() as held:
        for number in range(150):
            connection = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
            held.enter_context(connection)
            connection.sendall(request(f"half{number}")[: 20 if number % 2 else 1])
        for _ in range(3):
            assert stack.http.get("/health/live", timeout=5).status_code == 200
        connection.sendall(request("late", "Connection: close\r\n")[20:])
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def told(stack: Stack, sent: bytes, *, shut: bool = False) -> tuple[int, dict[str, Any]]:
    """The one answer to these bytes, after which the connection ends."""
    said = b""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.sendall(sent)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(65_536):
            said += more
    head, _, body = said.partition(b"\r\n\r\n")
    assert re.search(rb"^x-request-id: req_\w+", head, re.IGNORECASE | re.MULTILINE)
    error: dict[str, Any] = json.loads(body)["error"]
    return int(head.split()[1]), error


def test_what_is_no_http_is_answered_in_json_and_once(stack: Stack) -> None:
    assert told(stack, b"NONSENSE\r\n\r\n")[0] == 400
    assert told(stack, b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n")[0] == 414
    assert told(stack, request("many", "X: y\r\n" * 200))[0] == 431
    broken = b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"
    post = b"POST /v1/jobs HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    key = f"Authorization: Bearer {stack.key}\r\n".encode()
    assert told(stack, post + broken)[0] == 401
    status, error = told(stack, post + key + broken)
    assert (status, error["code"]) == (400, "invalid_json")
    job = b'{"task": "generate", "model": "echo", "input": {"prompt": "x"}}'
    short = b"Content-Length: 500\r\n\r\n" + job
    status, error = told(stack, post + key + short, shut=True)
    assert (status, error["code"]) == (400, "invalid_json")
    assert "63 of 500" in error["message"]
    assert "Traceback" not in stack.log("web")


def test_a_refusal_of_a_body_that_is_not_read_says_that_the_connection_ends(stack: Stack) -> None:
    for headers in ({}, {"Authorization": f"Bearer {stack.key}"}):
        with httpx.Client(base_url=stack.http.base_url, headers=headers) as client:
            for _ in range(5):
                refused = client.post("/v1/jobs", content=b"x" * 1_700_000)
                assert refused.status_code == (413 if headers else 401)
                assert refused.headers["connection"] == "close"
                assert client.get("/health/live").status_code == 200


def test_a_web_process_that_stops_answers_everybody_and_lets_go_of_its_port(stack: Stack) -> None:
    """Last of this file: it is gone then. No worker runs, so all of them wait."""
    keyed = {"Idempotency-Key": "stays"}
    chat = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    job = {"task": "generate", "model": "echo", "input": {"prompt": "x"}}
    id = stack.http.post("/v1/jobs", json=job).json()["id"]
    completions = "/v1/chat/completions"
    with ThreadPoolExecutor(5) as pool:
        polled = pool.submit(stack.http.get, f"/v1/jobs/{id}?wait=60", timeout=60)
        followed = pool.submit(stack.http.get, f"/v1/jobs/{id}/events", timeout=60)
        plain = pool.submit(stack.http.post, completions, json=chat, timeout=60)
        kept = pool.submit(stack.http.post, completions, json=chat, headers=keyed, timeout=60)
        stream = pool.submit(stack.http.post, completions, json=chat | {"stream": True}, timeout=60)
        eventually(lambda: len(jobs(stack)) == 4, what="four jobs")
        half = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
        half.sendall(request("never whole")[:20])
        os.kill(stack.pid("web"), signal.SIGTERM)
        eventually(lambda: is_refused(stack), within_s=4, what="nobody listens")
        assert (polled.result().status_code, polled.result().json()["status"]) == (200, "queued")
        assert "event: state" in followed.result().text
        for answer in (plain.result(), kept.result()):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_stopping")
            assert answer.headers["Retry-After"] == "2"
        assert '"code":"server_stopping"' in stream.result().text
    assert half.recv(65_536).startswith(b"HTTP/1.1 408")
    half.close()
    eventually(lambda: stack.has_ended("web"), within_s=10, what="it ended")
    stack.forget("web")
    stack.start("web")
    stack.ready(workers=0)
    # Nobody asks again for those without a key in vain: they are not done twice.
    assert sorted(jobs(stack).values()) == ["cancelled", "cancelled", "queued", "queued"]
    assert jobs(stack)[id] == "queued"
    assert "Traceback" not in stack.log("web")


def jobs(stack: Stack) -> dict[str, str]:
    return {job["id"]: job["status"] for job in stack.http.get("/v1/jobs").json()["data"]}


def is_refused(stack: Stack) -> bool:
    try:
        socket.create_connection(("127.0.0.1", stack.port), timeout=1).close()
    except OSError:
        return True
    return False
