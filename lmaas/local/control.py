"""Starting and stopping the supervisor, from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lmaas.errors import StartFailed
from lmaas.local import logs, orphans, process, report
from lmaas.local.checkout import Checkout
from lmaas.local.plans import Options
from lmaas.local.report import Report

_POLL_S = 0.05
_FIRST_WORD_S = 30.0
# Web, a worker's drain, the rest and a server's last writes, with some to spare.
DOWN_S = 180.0


def up(
    checkout: Checkout,
    options: Options,
    tell: Callable[[str], None],
    *,
    with_me: bool = False,
) -> Report:
    """Starts a supervisor in the background and waits until everything is ready.

    One that lives already is taken as it is. `with_me` ends it when the
    calling thread ends. Raises `StartFailed` with what the supervisor said.
    """
    checkout.prepare()
    _let_it_stop(checkout, tell)
    child: subprocess.Popen[bytes] | None = None
    if not report.supervisor_lives(checkout):
        checkout.report_file.unlink(missing_ok=True)
        child = _spawn(checkout, options, with_me=with_me)
    return _await_ready(checkout, child, tell)


def _let_it_stop(checkout: Checkout, tell: Callable[[str], None]) -> None:
    seen = report.read(checkout.report_file)
    if seen is not None and seen.phase == "stopping" and report.supervisor_lives(checkout):
        tell("waiting for a stop that is under way")
        _await_end(checkout, tell)


def _spawn(checkout: Checkout, options: Options, *, with_me: bool) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "lmaas.local", "--model", options.model]
    command += ["--workers", str(options.workers), "--device", options.device]
    command += ["--flower" if options.flower else "--no-flower"]
    return process.spawn(
        command,
        log=checkout.supervisor_log,
        cwd=checkout.root,
        environment={
            **os.environ,
            "LMAAS_STATE": str(checkout.state),
            "PYTHONPATH": _python_path(),
        },
        death_signal=signal.SIGTERM if with_me else None,
    )


def _python_path() -> str:
    """The supervisor must find this package also where it is not installed."""
    package = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return f"{package}{os.pathsep}{before}" if before else package


def _await_ready(
    checkout: Checkout, child: "subprocess.Popen[bytes] | None", tell: Callable[[str], None]
) -> Report:
    begun, told = time.monotonic(), ""
    while True:
        ended = child is not None and child.poll() is not None
        seen = report.read(checkout.report_file)
        if seen is not None and seen.phase == "ready":
            return seen
        if seen is not None and seen.phase in ("failed", "stopped"):
            raise StartFailed(seen.step)
        if seen is not None and seen.step != told:
            told = seen.step
            tell(told)
        if ended and not report.supervisor_lives(checkout):
            said = logs.last_line(checkout.supervisor_log)
            raise StartFailed(f"the supervisor ended: {said}; see {checkout.supervisor_log}")
        if seen is None and time.monotonic() - begun > _FIRST_WORD_S:
            raise StartFailed(f"the supervisor says nothing; see {checkout.supervisor_log}")
        time.sleep(_POLL_S)


def down(checkout: Checkout, tell: Callable[[str], None]) -> bool:
    """Stops the supervisor, or what a killed one left; False if nothing ran."""
    if not report.supervisor_lives(checkout):
        left = orphans.find(checkout)
        if left:
            tell(f"ending {len(left)} processes that a killed supervisor left behind")
        return orphans.end_all(checkout) > 0
    seen = report.read(checkout.report_file)
    if seen is None or not process.is_running(seen.identity):
        raise StartFailed(
            f"a supervisor holds {checkout.lock_file} but has not said who it is; try again"
        )
    process.send(seen.identity, signal.SIGTERM)
    _await_end(checkout, tell)
    if report.supervisor_lives(checkout):
        process.end(seen.identity, signal.SIGKILL, 0)
        orphans.end_all(checkout)
    return True


def _await_end(checkout: Checkout, tell: Callable[[str], None]) -> None:
    deadline, told = time.monotonic() + DOWN_S, ""
    while report.supervisor_lives(checkout) and time.monotonic() < deadline:
        seen = report.read(checkout.report_file)
        if seen is not None and seen.phase == "stopping" and seen.step != told:
            told = seen.step
            tell(told)
        time.sleep(_POLL_S)
