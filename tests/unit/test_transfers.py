"""Places for uploads and downloads are bounded, and always come back."""

import io
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from flask import Request

from api import transfers as module
from api.transfers import Transfers, receive
from files_store.drafts import Draft
from jobs.content_errors import FileTooLarge, TooManyTransfers
from jobs.errors import InvalidRequest
from jobs.settings import Settings


@pytest.fixture
def transfers() -> Transfers:
    given = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "max_transfers": 2}
    return Transfers(Settings.model_validate(given))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_no_more_than_the_setting_says_are_taken(transfers: Transfers) -> None:
    with transfers.one({}), transfers.one({}), pytest.raises(TooManyTransfers):
        transfers.one({}).__enter__()
    with transfers.one({}), transfers.one({}):
        pass


def test_the_client_has_a_time_limit_for_as_long_as_its_file_is_on_its_way(
    transfers: Transfers, ends: tuple[socket.socket, socket.socket]
) -> None:
    with transfers.one({"gunicorn.socket": ends[0]}):
        assert ends[0].gettimeout() == 60
    assert ends[0].gettimeout() is None


def test_a_place_comes_back_whatever_became_of_the_client(
    transfers: Transfers,
) -> None:
    for _ in range(3):
        ours, theirs = socket.socketpair()
        with theirs, transfers.one({"gunicorn.socket": ours}):
            ours.close()
    for _ in range(3):
        with pytest.raises(ConnectionError), transfers.one({}):
            raise ConnectionError


class Heard:
    """A body on a socket, as gunicorn reads it; `waits_s` says how long each read might take."""

    def __init__(self, ends: tuple[socket.socket, socket.socket]) -> None:
        self._socket, theirs = ends
        theirs.sendall(b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx')
        self.waits_s: list[float] = []

    def read(self, size: int) -> bytes:
        self.waits_s.append(self._socket.gettimeout() or float("inf"))
        return self._socket.recv(size)

    def receive(self, transfers: Transfers, most_bytes: int) -> None:
        """The client has promised a million bytes and is silent after the first ones."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST", "CONTENT_TYPE": "multipart/form-data; boundary=b",
            "CONTENT_LENGTH": "1000000", "wsgi.input": self, "gunicorn.socket": self._socket,
        }  # fmt: skip
        with transfers.one(environ):
            receive(Request(environ), "file", cast("Draft", io.BytesIO()), most_bytes)


def test_who_fell_silent_is_not_waited_for_a_second_time(
    transfers: Transfers,
    ends: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    heard = Heard(ends)
    with pytest.raises(InvalidRequest, match="silent"):
        heard.receive(transfers, most_bytes=1_000_000)
    assert heard.waits_s == [0.1, 0.1]  # for the bytes that there were, and for none


def test_who_is_refused_and_falls_silent_is_listened_to_for_a_short_time_only(
    transfers: Transfers,
    ends: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 2)
    monkeypatch.setattr(module, "_DISCARD_S", 0.1)
    heard = Heard(ends)
    with pytest.raises(FileTooLarge):
        heard.receive(transfers, most_bytes=10)
    assert len(heard.waits_s) == 2
    assert max(heard.waits_s) <= 0.1
