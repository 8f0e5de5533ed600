"""Chores: each in its own time, none ended by another's bug."""

import threading

import pytest

from dispatcher import chores
from dispatcher.chores import MORE, Chore
from jobs.errors import DatabaseUnavailable
from tests.conditions import eventually


def test_a_chore_that_fails_is_said_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopping, done = threading.Event(), threading.Semaphore(0)

    def fail(_: threading.Event) -> None:
        raise RuntimeError("a " + "prompt")

    def work(_: threading.Event) -> object:
        done.release()
        return MORE

    both = [Chore("broken", 0.01, fail), Chore("sound", 60.0, work)]
    keeper = threading.Thread(target=chores.work, args=(both, stopping))
    keeper.start()
    for _ in range(3):
        assert done.acquire(timeout=10)
    eventually(lambda: "the chore 'broken' failed" in caplog.text, within_s=10)
    stopping.set()
    keeper.join(timeout=10)
    assert not keeper.is_alive()
    assert "RuntimeError" in caplog.text
    assert "a prompt" not in caplog.text


def test_without_postgres_a_chore_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    stopping = threading.Event()
    calls: list[int] = []

    def ask(_: threading.Event) -> None:
        calls.append(1)
        if len(calls) == 3:
            stopping.set()
        raise DatabaseUnavailable("Postgres does not answer")

    chores.work([Chore("asking", 0.001, ask)], stopping)
    assert len(calls) == 3
    assert caplog.text.count("asking: Postgres does not answer") == 3
