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

    told: list[tuple[str, int, str | None]] = []
    both = [Chore("broken", 0.01, fail), Chore("sound", 60.0, work)]
    keeper = threading.Thread(
        target=chores.work, args=(both, stopping, lambda *what: told.append(what))
    )
    keeper.start()
    for _ in range(3):
        assert done.acquire(timeout=10)
    eventually(lambda: ("broken", 1, "RuntimeError") in told, within_s=10)
    stopping.set()
    keeper.join(timeout=10)
    assert not keeper.is_alive()
    assert told.count(("sound", 0, None)) == 1
    assert "the chore 'broken' failed 1 times in a row: RuntimeError" in caplog.text
    assert "a prompt" not in caplog.text


def _unasked(chore: str, times: int, error: str | None) -> None:
    raise AssertionError("what Postgres' absence stops is no failure of a chore")


def test_how_a_chore_does_is_said_once_postgres_can_be_told_again() -> None:
    stopping = threading.Event()
    told: list[tuple[str, int, str | None]] = []
    runs: list[int] = []

    def fail_once(_: threading.Event) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise RuntimeError

    def report(chore: str, times: int, error: str | None) -> None:
        told.append((chore, times, error))
        if len(told) < 3:
            raise DatabaseUnavailable("Postgres does not answer")
        stopping.set()

    chores.work([Chore("once", 0.001, fail_once)], stopping, report)
    assert told == [("once", 1, "RuntimeError"), ("once", 0, None), ("once", 0, None)]


def test_without_postgres_a_chore_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    stopping = threading.Event()
    calls: list[int] = []

    def ask(_: threading.Event) -> None:
        calls.append(1)
        if len(calls) == 3:
            stopping.set()
        raise DatabaseUnavailable("Postgres does not answer")

    chores.work([Chore("asking", 0.001, ask)], stopping, _unasked)
    assert len(calls) == 3
    assert caplog.text.count("asking: Postgres does not answer") == 3
