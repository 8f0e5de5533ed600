"""Failpoints: off unless named, counted exactly, and each at one line of the code."""

import ast
import logging
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs import failpoints
from jobs.failpoints import POINTS, FailpointError, Plan, reach
from tests.conditions import ROOT

PRODUCT = (
    "jobs", "bells", "routing", "api", "dispatcher", "workers", "models_store", "files_store",
    "migrations", "lmaas",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def reached_in_the_code() -> list[str]:
    """The names of all calls of `reach`, of every product file."""
    calls = (
        node
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "reach"
    )
    return [argument.value for call in calls for argument in call.args
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]  # fmt: skip


def test_every_point_of_the_table_is_one_line_of_the_code_and_the_other_way_round() -> None:
    assert Counter(reached_in_the_code()) == Counter(POINTS.keys())


def test_a_setting_names_points_actions_and_times() -> None:
    assert failpoints.parse("worker.claimed=kill@3,web.submitted=stop@1") == {
        "worker.claimed": Plan("kill", 3),
        "web.submitted": Plan("stop", 1),
    }
    assert failpoints.parse("") == {}


@pytest.mark.parametrize(
    ("text", "expectation"),
    [
        ("worker.clamed=kill@1", "no failpoint is named 'worker.clamed'; there are .*claimed"),
        ("worker.claimed", "expected worker.claimed=ACTION@NUMBER"),
        ("worker.claimed=kill", "a number from 1"),
        ("worker.claimed=kill@0", "a number from 1"),
        ("worker.claimed=kill@-1", "a number from 1"),
        ("worker.claimed=burn@1", "one of kill, stop, error, hang"),
        ("worker.claimed=kill@1,worker.claimed=kill@2", "named twice"),
        ("worker.claimed=kill@1;web.submitted=kill@1", "a number from 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_a_sentence(text: str, expectation: str) -> None:
    with pytest.raises(ValueError, match=expectation):
        failpoints.parse(text)


def test_only_the_nth_time_counts_and_only_the_named_point() -> None:
    failpoints.arm("worker.claimed=error@3")
    for _ in range(2):
        reach("worker.claimed")
        reach("worker.decoding")
    with pytest.raises(FailpointError):
        reach("worker.claimed")
    reach("worker.claimed")


def test_of_many_threads_exactly_one_is_the_nth() -> None:
    failpoints.arm("worker.decoding=error@500")
    met = []

    def walk() -> None:
        for number in range(250):
            try:
                reach("worker.decoding")
            except FailpointError:
                met.append(number)

    with ThreadPoolExecutor(8) as pool:
        for walker in [pool.submit(walk) for _ in range(8)]:
            walker.result()
    assert len(met) == 1


def test_unarmed_points_do_nothing() -> None:
    failpoints.arm("")
    for name in POINTS:
        reach(name)


def test_an_armed_process_says_so(caplog: pytest.LogCaptureFixture) -> None:
    failpoints.arm("")
    assert caplog.records == []
    failpoints.arm("worker.claimed=kill@9")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "failpoints are armed" in record.getMessage()


def test_hang_holds_its_thread_only() -> None:
    failpoints.arm("worker.decoding=hang@1")
    hung = threading.Thread(target=reach, args=("worker.decoding",), daemon=True)
    hung.start()
    hung.join(timeout=0.2)
    assert hung.is_alive()
    reach("worker.decoding")


@pytest.mark.parametrize(("action", "status"), [("kill", -9), ("error", 1)])
def test_a_process_ends_where_it_was_told_to(action: str, status: int) -> None:
    program = (
        "from jobs import failpoints\n"
        f"failpoints.arm('worker.claimed={action}@2')\n"
        "failpoints.reach('worker.claimed'); print('once', flush=True)\n"
        "failpoints.reach('worker.claimed'); print('twice', flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (status, "once\n")


def test_every_process_that_has_points_is_armed() -> None:
    armed = {
        path.relative_to(ROOT).parts[0]
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^ +failpoints\.arm\(settings\.failpoints\)", path.read_text(), re.MULTILINE)
    }
    assert armed == {"api", "dispatcher", "workers"}
