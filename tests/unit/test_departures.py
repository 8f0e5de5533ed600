"""Closed connections are seen without waiting; open ones are, whatever they sent."""

import socket

import pytest

from api.departures import Departures

Pair = tuple[socket.socket, socket.socket]


def test_who_sends_and_who_is_silent_is_there(pair: Pair) -> None:
    client, ours = pair
    departures: Departures[str] = Departures()
    departures.watch(ours, ["one"])
    assert departures.gone() == []
    client.sendall(b"GET /next HTTP/1.1")
    assert departures.gone() == []
    assert ours.recv(3) == b"GET"


@pytest.mark.parametrize("unread", [b"", b"GET /next HTTP/1.1"])
def test_who_closes_is_gone_behind_unread_bytes_too(pair: Pair, unread: bytes) -> None:
    client, ours = pair
    departures: Departures[str] = Departures()
    departures.watch(ours, ["one", "two"])
    client.sendall(unread)
    client.close()
    assert departures.gone() == ["one", "two"]
    assert departures.gone() == ["one", "two"]


def test_who_is_reset_is_gone(pair: Pair) -> None:
    client, ours = pair
    departures: Departures[str] = Departures()
    departures.watch(ours, ["one"])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    assert departures.gone() == ["one"]


def test_who_is_forgotten_is_not_told_of(pair: Pair) -> None:
    client, ours = pair
    departures: Departures[str] = Departures()
    number = departures.watch(ours, ["one"])
    assert number is not None
    departures.forget(number)
    client.close()
    assert departures.gone() == []
    ours.close()
    assert departures.watch(ours, ["one"]) is None
