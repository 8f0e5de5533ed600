"""One connection, many requests, over the real web process."""

import re
import socket
from collections.abc import Iterator

import pytest

from tests.stack import Stack

HEAD = "GET /health/live HTTP/1.1\r\nHost: here\r\nx-request-id: {name}\r\n{more}\r\n"


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("web"), database_url=module_database_url, redis_url=redis_url
    )
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
