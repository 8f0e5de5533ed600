"""Keeping processes: identity, restart with back-off, ports, logs, plans."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lmaas.errors import StartFailed
from lmaas.local import logs, ports, process
from lmaas.local.keeper import Keeper
from lmaas.local.plans import Options, plans
from lmaas.local.process import Identity
from lmaas.local.steps import Interrupted, Steps
from tests.conditions import ROOT


class Pretender:
    """A runner that runs or not, as the test says."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.starts = 0
        self.refuses = False
        self.exit_code: int | None = None

    def start(self) -> None:
        self.starts += 1
        if self.refuses:
            raise StartFailed("no")
        self.pid = os.getpid()

    def stop(self, timeout_s: float) -> None:
        self.pid = None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("lmaas.local.keeper.time.time", lambda: now[0])
    return now


def test_a_pid_with_another_start_time_is_another_process() -> None:
    me = process.identify(os.getpid())
    assert me is not None
    assert process.is_running(me)
    assert not process.is_running(Identity(me.pid, "yesterday:1"))


def test_a_signal_for_yesterdays_process_reaches_nobody() -> None:
    process.send(Identity(os.getpid(), "yesterday:1"), signal.SIGKILL)


def test_a_zombie_counts_as_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.identify(child.pid) is None


def test_what_ends_is_started_again_after_a_pause_that_doubles(clock: list[float]) -> None:
    runner = Pretender()
    kept = Keeper("worker", runner, Path("worker.log"))
    kept.start()
    for expected_pause in (0.5, 1.0, 2.0):
        runner.pid = None
        assert kept.tend()
        assert kept.report().pid is None
        clock[0] += expected_pause - 0.01
        assert not kept.tend()
        clock[0] += 0.02
        assert kept.tend()
        assert kept.report().state == "running"
    assert kept.restarts == 3
    assert kept.looping


def test_the_pause_is_bounded_and_a_steady_run_forgets_the_past(clock: list[float]) -> None:
    runner = Pretender()
    kept = Keeper("worker", runner, Path("worker.log"))
    kept.start()
    for _ in range(12):
        runner.pid = None
        kept.tend()
        clock[0] += 30.01
        assert kept.tend()
    clock[0] += 61
    kept.tend()
    assert not kept.looping


def test_a_start_that_fails_is_tried_again(clock: list[float]) -> None:
    runner = Pretender()
    kept = Keeper("valkey", runner, Path("valkey.log"))
    kept.start()
    runner.pid, runner.refuses = None, True
    kept.tend()
    for _ in range(3):
        clock[0] += 31
        kept.tend()
    assert kept.report().state == "crash loop"
    runner.refuses = False
    clock[0] += 31
    kept.tend()
    assert kept.report().state == "running"


def test_a_free_port_is_kept_and_a_taken_one_is_not_insisted_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        free = ports.choose()  # another one than the server's
        assert ports.choose([free]) == free
        assert not ports.is_free(taken)
        assert ports.choose([None, taken, free]) == free
        assert ports.keep(taken, patience_s=0.1) != taken


def test_a_port_that_is_reserved_is_nobody_elses_before_anything_listens_there() -> None:
    port = ports.reserve([ports.choose()])
    assert ports.reserve([port]) == port  # its own
    look = f"from lmaas.local import ports; print(ports.reserve([{port}]), ports.reserve())"
    other = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    theirs, random = map(int, other.split())
    assert len({port, theirs, random}) == 3
    again = subprocess.run(  # what a process that has ended had reserved is free
        [sys.executable, "-c", look.replace(str(port), str(theirs))],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert again.split()[0] == str(theirs)


def test_logs_of_the_last_run_are_put_aside_and_long_ones_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "web.log"
    log.write_text("old")
    logs.rotate(tmp_path)
    assert not log.exists()
    assert (tmp_path / "web.log.1").read_text() == "old"
    monkeypatch.setattr(logs, "LIMIT_BYTES", 10)
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 11)
        logs.bound(tmp_path)
        writer.write(b"new")
    assert log.read_bytes() == b"new"


def test_the_last_line_of_a_log_is_what_it_said_last(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert logs.last_line(log) == "it wrote no log"
    log.write_text("Traceback\n\x1b[31mValueError: broken\x1b[0m\n\n")
    assert logs.last_line(log) == "ValueError: broken"


def test_of_json_lines_the_gravest_event_is_told(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    lines = [("critical", "the model is gone"), ("error", "not started again"), ("info", "bye")]
    log.write_text("".join(json.dumps({"level": a, "event": b}) + "\n" for a, b in lines))
    assert logs.last_line(log) == "the model is gone"


def test_who_says_that_it_cannot_run_is_believed_at_once(clock: list[float]) -> None:
    runner = Pretender()
    kept = Keeper("worker", runner, Path("worker.log"))
    kept.start()
    runner.pid, runner.exit_code = None, 78
    kept.tend()
    assert kept.looping


def test_a_step_gives_its_output_and_a_failing_one_its_last_words(tmp_path: Path) -> None:
    steps = Steps(tmp_path, tmp_path, dict(os.environ), lambda: False)
    assert steps.run("good", (sys.executable, "-c", "print('key')")) == "key\n"
    with pytest.raises(StartFailed, match=r"bad failed \(exit 3\): it broke; see .*bad\.log"):
        steps.run(
            "bad",
            (sys.executable, "-c", "import sys; print('it broke', file=sys.stderr); sys.exit(3)"),
        )


def test_a_step_ends_when_told_to_stop(tmp_path: Path) -> None:
    steps = Steps(tmp_path, tmp_path, dict(os.environ), lambda: True)
    with pytest.raises(Interrupted):
        steps.run("long", (sys.executable, "-c", "import time; time.sleep(60)"))


def test_several_workers_share_the_cores_or_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    workers = [plan for plan in plans(Options(workers=2), {}) if "worker" in plan.name]
    assert [plan.name for plan in workers] == ["worker-1", "worker-2"]
    assert {plan.environment["LMAAS_THREADS"] for plan in workers} == {"4"}
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([Path("a"), Path("b")]))
    workers = [plan for plan in plans(Options(workers=3), {}) if "worker" in plan.name]
    assert [plan.environment["LMAAS_DEVICE"] for plan in workers] == ["cuda:0", "cuda:1", "cuda:0"]


def test_no_secret_is_an_argument() -> None:
    settings = {"DATABASE_URL": "secret", "LMAAS_FLOWER_BASIC_AUTH": "secret"}
    for plan in plans(Options(workers=2), settings):
        assert "secret" not in plan.command
