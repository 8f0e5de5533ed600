"""What unit tests share: one thread for tiny models, a server for the command line, and
the ends of a connection."""

import socket
import sys
from collections.abc import Iterator

import pytest

from tests.unit.scripted_server import KEY, ScriptedServer, running


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other by spinning make a step of microseconds
    one of seconds when something else wants the cores."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A server that answers as the test says, as the command line finds it."""
    with running() as started:
        monkeypatch.setenv("LMAAS_URL", started.url)
        monkeypatch.setenv("LMAAS_API_KEY", KEY)
        yield started


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's end of a TCP connection, and ours."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
        with client, ours:
            yield client, ours
