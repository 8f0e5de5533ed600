"""What unit tests share: one thread for tiny models, and a server for the command line."""

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
