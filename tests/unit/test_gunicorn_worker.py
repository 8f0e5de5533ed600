"""A connection keeps its thread while its client asks again at once, and no longer; a
request that does not come whole is given up."""

import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator
from io import BytesIO
from types import SimpleNamespace

import pytest
from gunicorn.http.errors import InvalidChunkSize
from gunicorn.workers import gthread

from api.app import RawJsonRequest
from api.gunicorn_worker import ThreadWorker
from jobs.connection_errors import BodyTimeout
from jobs.errors import InvalidJson

DEFERRED = object()
NEXT = b"GET /next HTTP/1.1\r\nHost: here\r\n\r\n"


class Connection:
    """What gthread knows of a connection, as far as the worker asks."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.cfg = SimpleNamespace(is_ssl=False)
        self.read_ahead = BytesIO()
        self.parser = SimpleNamespace(unreader=SimpleNamespace(buf=self.read_ahead))
        self.closed: list[bool] = []
        self.timeout = 0.0

    def close(self, graceful: bool = False) -> None:
        self.closed.append(graceful)


class Served(ThreadWorker):
    """Its requests are answered by the list `kept`, in turn."""

    def __init__(self, threads: int = 8) -> None:
        self.alive = True
        self.cfg = SimpleNamespace(threads=threads)
        self._inside = set()
        self.kept: list[object] = []


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setattr(gthread.ThreadWorker, "handle", lambda self, _: self.kept.pop(0))
    return Served()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def asking(ends: tuple[socket.socket, socket.socket]) -> Connection:
    """One whose client has sent its next request already."""
    ends[1].sendall(NEXT)
    return Connection(ends[0])


def test_the_next_request_is_answered_in_the_same_thread(
    worker: Served, asking: Connection
) -> None:
    worker.kept = [True, True, False]
    assert worker.handle(asking) is False
    assert worker.kept == []
    assert asking.closed == [True]
    asking.close()  # gthread's loop, later
    assert asking.closed == [True]


def test_a_request_that_was_read_with_the_last_one_is_answered(
    worker: Served, ends: tuple[socket.socket, socket.socket]
) -> None:
    connection = Connection(ends[0])
    connection.read_ahead.write(NEXT)
    worker.kept = [True, False]
    assert worker.handle(connection) is False
    assert worker.kept == []


def test_a_silent_connection_goes_back_to_the_loop(
    worker: Served, ends: tuple[socket.socket, socket.socket]
) -> None:
    connection = Connection(ends[0])
    worker.kept = [True, "never asked"]
    assert worker.handle(connection) is True
    assert worker.kept == ["never asked"]
    assert connection.closed == []


def test_half_a_head_goes_back_to_the_loop(
    worker: Served, ends: tuple[socket.socket, socket.socket]
) -> None:
    ends[1].sendall(NEXT[:20])
    connection = Connection(ends[0])
    worker.kept = [True, "never asked"]
    assert worker.handle(connection) is True
    assert worker.kept == ["never asked"]


def test_whose_client_went_away_is_closed(
    worker: Served, ends: tuple[socket.socket, socket.socket]
) -> None:
    connection = Connection(ends[0])
    ends[1].close()
    worker.kept = [True, False]  # gthread reads the end of the connection
    assert worker.handle(connection) is False
    assert connection.closed == [True]


def test_with_most_threads_taken_it_goes_back_to_the_loop(
    worker: Served, asking: Connection
) -> None:
    worker.cfg.threads = 4
    worker._inside = {object(), object()}
    worker.kept = [True, "never asked"]
    assert worker.handle(asking) is True
    assert worker.kept == ["never asked"]
    assert len(worker._inside) == 2  # and its own thread is free again


def test_a_worker_that_stops_gives_it_back(worker: Served, asking: Connection) -> None:
    worker.alive = False
    worker.kept = [True, "never asked"]
    assert worker.handle(asking) is True


def test_what_gthread_put_off_is_left_to_gthread(worker: Served, asking: Connection) -> None:
    worker.kept = [DEFERRED, "never asked"]
    assert worker.handle(asking) is DEFERRED


def test_a_failure_leaves_no_connection_counted(
    worker: Served, asking: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("broken")

    monkeypatch.setattr(gthread.ThreadWorker, "handle", fail)
    with pytest.raises(RuntimeError):
        worker.handle(asking)
    assert not worker._inside


def test_half_a_head_is_answered_when_its_time_is_over(
    worker: Served, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    theirs.sendall(NEXT[:20])
    late, early = Connection(ours), Connection(ours)
    late.timeout, early.timeout = time.monotonic() - 1, time.monotonic() + 60
    worker.pending_conns = deque([late, early])
    worker.poller = selectors.DefaultSelector()
    worker.nr_conns = 2
    with worker.poller:
        worker.poller.register(ours, selectors.EVENT_READ)
        worker.murder_pending()
    assert theirs.recv(65_536).startswith(b"HTTP/1.1 408 Request Timeout\r\nConnection: close")
    assert (list(worker.pending_conns), worker.nr_conns) == ([early], 1)
    assert late.closed == [False]


class Silent:
    """A body that does not come: what a socket with a time limit does."""

    def read(self, *_: object) -> bytes:
        raise BlockingIOError


class Garbled:
    """A body in chunks that are none."""

    def read(self, *_: object) -> bytes:
        raise InvalidChunkSize(b"zz")


@pytest.mark.parametrize(("body", "error"), [(Silent(), BodyTimeout), (Garbled(), InvalidJson)])
def test_a_body_that_does_not_come_whole_is_named(body: object, error: type[Exception]) -> None:
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "10", "wsgi.input": body}
    request = RawJsonRequest(environ | {"wsgi.input_terminated": True})
    request.max_content_length = 1_000
    with pytest.raises(error):
        request.get_json()
