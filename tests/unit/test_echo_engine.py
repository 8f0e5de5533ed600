"""The echo engine repeats the prompt, at the speed that was asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import EngineFailed, InvalidRequest, PromptTooLong
from models_store.echo import CONTEXT_LENGTH, write_folder
from models_store.prompt import PromptRenderer
from tests.unit.engine_models import Driver
from workers.engines.echo import EchoEngine


class Clock:
    """Time that passes only while the engine naps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        # A real sleep is a little late, never early.
        self.now_s += seconds + 1e-6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path)
    return tmp_path


def ids(folder: Path, text: str) -> list[int]:
    return PromptRenderer.load(folder).encode(text, special=False)


@pytest.mark.parametrize("text", ["hello there", "é 😀 ü", "x"])
def test_the_answer_is_the_prompt(folder: Path, text: str) -> None:
    driver = Driver(EchoEngine(4, 0, folder))
    key = driver.add(ids(folder, text), 500)
    for chunk in driver.engine.step():
        assert (chunk.id, chunk.text, chunk.finish_reason) == (key, text, "stop")
        assert chunk.completion_tokens == len(text.encode())
    assert driver.engine.active == 0
    assert driver.engine.step() == []


def test_no_more_than_max_tokens(folder: Path) -> None:
    driver = Driver(EchoEngine(4, 0, folder))
    driver.add(ids(folder, "hello there"), 5)
    (chunk,) = driver.engine.step()
    assert (chunk.text, chunk.completion_tokens, chunk.finish_reason) == ("hello", 5, "length")


def test_a_stop_string_ends_the_answer_before_it(folder: Path) -> None:
    driver = Driver(EchoEngine(4, 0, folder))
    driver.add(ids(folder, "hello there"), 50, stop=("o t",))
    (chunk,) = driver.engine.step()
    assert (chunk.text, chunk.completion_tokens, chunk.finish_reason) == ("hell", 7, "stop")


def test_tokens_come_at_the_speed_asked_for_and_a_step_never_waits_long(folder: Path) -> None:
    clock = Clock()
    driver = Driver(EchoEngine(4, 10, folder, clock=clock, sleep=clock.sleep))
    first = driver.add(ids(folder, "abcdef"), 50)
    driver.step()
    driver.step()
    assert driver.completions[first].text == "a"
    second = driver.add(ids(folder, "xyz"), 50)
    found = driver.finish()
    assert (found[first].text, found[second].text) == ("abcdef", "xyz")
    assert clock.now_s - 100.0 == pytest.approx(0.6, abs=0.01)
    assert max(clock.naps) <= 0.05


def test_removing_returns_the_rest_of_the_text(folder: Path) -> None:
    clock = Clock()
    driver = Driver(EchoEngine(4, 20, folder, clock=clock, sleep=clock.sleep))
    key = driver.add(ids(folder, "abcdef"), 50, stop=("abcz",))
    for _ in range(3):
        driver.step()
    rest = driver.engine.remove(key)
    assert rest is not None
    assert (driver.completions[key].text + rest.text, rest.completion_tokens) == ("abc", 3)
    assert driver.engine.remove(key) is None


def test_bad_sequences_are_refused(folder: Path) -> None:
    driver = Driver(EchoEngine(1, 0, folder))
    with pytest.raises(InvalidRequest):
        driver.add([])
    with pytest.raises(PromptTooLong):
        driver.add([1] * CONTEXT_LENGTH)
    driver.add([1])
    with pytest.raises(EngineFailed):
        driver.add([1])


def test_an_echo_worker_does_not_load_torch() -> None:
    code = "import sys, workers.engines.echo; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
