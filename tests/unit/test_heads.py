"""What has come of a request's head is seen without reading it."""

import io
import select
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from api import heads
from api.heads import Head

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
Seen = tuple[Any, socket.socket]


@pytest.fixture
def seen(pair: tuple[socket.socket, socket.socket]) -> Seen:
    """gthread's connection as far as it is looked at, and its client."""
    client, ours = pair
    return SimpleNamespace(sock=ours, cfg=SimpleNamespace(is_ssl=False), parser=None), client


def readable(conn: Any) -> bool:
    ear = select.poll()
    ear.register(conn.sock, select.POLLIN)
    return bool(ear.poll(200))


def test_nothing_half_and_whole(seen: Seen) -> None:
    conn, client = seen
    assert heads.look(conn) is Head.NONE
    client.sendall(HEAD[:20])
    assert readable(conn)
    assert heads.look(conn) is Head.HALF
    assert not readable(conn)  # what was seen wakes nobody again
    client.sendall(HEAD[20:])
    assert readable(conn)
    assert heads.look(conn) is Head.WHOLE
    assert conn.sock.recv(5) == HEAD[:5]  # and a read waits for no more than it asks for
    assert conn.sock.recv(1_000) == HEAD[5:]


def test_every_byte_alone_is_a_step_towards_the_whole(seen: Seen) -> None:
    conn, client = seen
    for place in range(len(HEAD)):
        client.sendall(HEAD[place : place + 1])
        assert readable(conn)
        assert heads.look(conn) is (Head.WHOLE if place == len(HEAD) - 1 else Head.HALF)


def test_bytes_that_were_read_ahead_count(seen: Seen) -> None:
    conn, client = seen
    conn.parser = SimpleNamespace(unreader=SimpleNamespace(buf=io.BytesIO(HEAD[:20])))
    assert heads.look(conn) is Head.HALF
    client.sendall(HEAD[20:])
    assert readable(conn)
    assert heads.look(conn) is Head.WHOLE


def test_empty_lines_are_no_head(seen: Seen) -> None:
    conn, client = seen
    client.sendall(b"\r\n\r\n")
    assert readable(conn)
    assert heads.look(conn) is Head.HALF


@pytest.mark.parametrize("sent", [b"", HEAD[:20]])
def test_a_client_that_left_is_for_gunicorn_to_find(seen: Seen, sent: bytes) -> None:
    conn, client = seen
    client.sendall(sent)
    client.close()
    assert readable(conn)
    assert heads.look(conn) is Head.WHOLE


def test_a_head_without_end_is_for_gunicorn_to_refuse(seen: Seen) -> None:
    conn, client = seen
    client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nX: " + 70_000 * b"x")
    assert readable(conn)
    while heads.look(conn) is Head.HALF:
        assert readable(conn)


def test_what_is_dropped_is_not_there(seen: Seen) -> None:
    conn, client = seen
    client.sendall(HEAD)
    assert readable(conn)
    heads.drop(conn)
    assert heads.look(conn) is Head.NONE
    heads.drop(conn)
