"""The proxy does to connections what it says, to live ones and to new ones."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.fault_proxy import FaultProxy, Way
from tests.conditions import eventually


class Parrot:
    """A server that says everything back and remembers what it heard."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://me:pw@127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.heard = b""
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._speak, args=(link,)))
            self._threads[-1].start()

    def _speak(self, link: socket.socket) -> None:
        with link:
            try:
                while data := link.recv(1_000):
                    self.heard += data
                    link.sendall(data)
                self.ended.set()
                link.sendall(b"bye")
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=5)


@pytest.fixture
def parrot() -> Iterator[Parrot]:
    server = Parrot()
    yield server
    server.close()


@pytest.fixture
def proxy(parrot: Parrot) -> Iterator[FaultProxy]:
    with FaultProxy(parrot.url) as started:
        yield started


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def says(link: socket.socket, words: bytes) -> bytes:
    link.sendall(words)
    return link.recv(1_000)


def says_anew(proxy: FaultProxy, words: bytes) -> bytes:
    """Over a new connection, which may be reset while it is made."""
    with connect(proxy) as link:
        return says(link, words)


def is_silent(link: socket.socket) -> bool:
    link.settimeout(0.15)
    try:
        link.recv(1_000)
    except TimeoutError:
        return True
    finally:
        link.settimeout(5)
    return False


def test_it_keeps_the_rest_of_the_url(proxy: FaultProxy) -> None:
    assert proxy.url == f"redis://me:pw@127.0.0.1:{proxy.port}/0"


def test_it_passes_bytes_and_ends_both_ways(proxy: FaultProxy, parrot: Parrot) -> None:
    with connect(proxy) as link:
        assert says(link, b"hello") == b"hello"
        link.shutdown(socket.SHUT_WR)
        assert link.recv(1_000) == b"bye"
        assert link.recv(1_000) == b""
    eventually(lambda: proxy.connections == 0, within_s=5)
    assert parrot.heard == b"hello"


def test_a_black_hole_accepts_and_swallows(proxy: FaultProxy, parrot: Parrot) -> None:
    with connect(proxy) as old:
        assert says(old, b"before") == b"before"
        proxy.black_hole()
        with connect(proxy) as new:
            for link in (old, new):
                link.sendall(b"lost")
                assert is_silent(link)
            proxy.pass_through()
            for link in (old, new):
                with pytest.raises(ConnectionResetError):
                    says(link, b"on the other side of a hole")
    with connect(proxy) as link:
        assert says(link, b"after") == b"after"
    assert parrot.heard == b"beforeafter"


def test_a_connection_that_lost_nothing_outlives_a_black_hole(proxy: FaultProxy) -> None:
    with connect(proxy) as link:
        assert says(link, b"before") == b"before"
        proxy.black_hole()
        proxy.pass_through()
        assert says(link, b"after") == b"after"


def test_a_reset_ends_live_and_new_connections_without_a_word(proxy: FaultProxy) -> None:
    with connect(proxy) as old:
        assert says(old, b"before") == b"before"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            old.recv(1_000)
    with pytest.raises(ConnectionError):
        says_anew(proxy, b"x")
    proxy.pass_through()
    with connect(proxy) as link:
        assert says(link, b"after") == b"after"


def test_a_cut_ends_only_what_lives(proxy: FaultProxy) -> None:
    with connect(proxy) as old, connect(proxy) as other:
        assert says(old, b"a") == says(other, b"a") == b"a"
        proxy.cut()
        for link in (old, other):
            with pytest.raises(ConnectionResetError):
                link.recv(1_000)
    with connect(proxy) as new:
        assert says(new, b"after") == b"after"


@pytest.mark.parametrize("delays", [{"up_s": 0.2}, {"down_s": 0.2}], ids=["up", "down"])
def test_a_delay_makes_bytes_late_one_way(
    delays: dict[str, float], proxy: FaultProxy, parrot: Parrot
) -> None:
    with connect(proxy) as link:
        proxy.delay(**delays)
        began = time.monotonic()
        link.sendall(b"late")
        if "down_s" in delays:
            eventually(lambda: parrot.heard == b"late", within_s=5)
        assert link.recv(1_000) == b"late"
        assert time.monotonic() - began >= 0.2
        proxy.delay()
        assert says(link, b"now") == b"now"


def test_half_closed_towards_the_client_it_may_still_send(
    proxy: FaultProxy, parrot: Parrot
) -> None:
    with connect(proxy) as link:
        assert says(link, b"a") == b"a"
        proxy.half_close(Way.DOWN)
        assert link.recv(1_000) == b""
        link.sendall(b"b")
        eventually(lambda: parrot.heard == b"ab", within_s=5)
        with connect(proxy) as new:
            assert new.recv(1_000) == b""


def test_half_closed_towards_the_server_it_may_still_answer(
    proxy: FaultProxy, parrot: Parrot
) -> None:
    with connect(proxy) as link:
        assert says(link, b"a") == b"a"
        proxy.half_close(Way.UP)
        assert parrot.ended.wait(5)
        assert link.recv(1_000) == b"bye"


def test_a_server_that_is_away_ends_the_client() -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with FaultProxy(f"redis://127.0.0.1:{port}/0") as proxy:
        with pytest.raises(ConnectionError):
            says_anew(proxy, b"x")
        eventually(lambda: proxy.connections == 0, within_s=5)
