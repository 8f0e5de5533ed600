"""Operating-system processes: start one, tell one from another, end one.

A pid alone is no identity, because pids are used again: a process is its pid
and the time it started, as the kernel tells it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lmaas.errors import StartFailed
from lmaas.local.account import Account

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for as long as the machine runs and ever after."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """The process with this pid now; None if there is none or only its zombie."""
    if not sys.platform.startswith("linux"):
        return _identify_by_ps(pid)
    try:
        # The name in parentheses may hold spaces and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if fields[0] in "ZX":
        return None
    return Identity(pid, f"{boot}:{fields[19]}")


def _identify_by_ps(pid: int) -> Identity | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if not shown or shown[0].startswith("Z"):
        return None
    return Identity(pid, " ".join(shown[1:]))


def works_in(pid: int, folder: Path) -> bool:
    """Whether the process has this working folder; unknown counts as no."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder.resolve()
    except OSError:
        return False


def is_running(process: Identity | None) -> bool:
    """Whether this very process lives; another one under its pid does not count."""
    return process is not None and identify(process.pid) == process


def send(process: Identity, number: signal.Signals) -> None:
    """Sends a signal if the process still lives."""
    if is_running(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def wait_gone(process: Identity, timeout_s: float) -> bool:
    """True once the process has ended, False after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while is_running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def end(process: Identity, number: signal.Signals, timeout_s: float) -> None:
    """Ends a process: politely, and after `timeout_s` with SIGKILL."""
    send(process, number)
    if not wait_gone(process, timeout_s):
        send(process, signal.SIGKILL)
        wait_gone(process, 5)


def reap(child: "subprocess.Popen[bytes]", number: signal.Signals, timeout_s: float) -> None:
    """Ends a child of this process and collects its exit status."""
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def kill_group(leader: int) -> None:
    """SIGKILL for what a dead session leader of ours left behind in its group."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _die_with_parent(number: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def spawn(
    command: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    stdin: bytes = b"",
    death_signal: signal.Signals | None = signal.SIGTERM,
) -> "subprocess.Popen[bytes]":
    """Starts a process in a session of its own, its output appended to `log`.

    On Linux the kernel sends it `death_signal` when the calling THREAD ends,
    so call this from a thread that lives as long as the child shall; None
    lets it outlive its parent.
    """
    bound = death_signal is not None and sys.platform.startswith("linux")
    die = partial(_die_with_parent, int(death_signal or 0))
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Two system calls and no lock, so safe between fork and exec.
                preexec_fn=die if bound else None,  # noqa: PLW1509
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
    except OSError as error:
        raise StartFailed(f"{command[0]} cannot be started: {error}") from error
    _feed(child, stdin)
    return child


def _feed(child: "subprocess.Popen[bytes]", text: bytes) -> None:
    pipe = child.stdin
    if pipe is None:
        return
    try:
        pipe.write(text)
        pipe.close()
    except BrokenPipeError:
        return  # it ended at once; whoever waits for it reads why in its log
