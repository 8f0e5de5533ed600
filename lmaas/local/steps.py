"""One-off commands of the checkout: run one to its end, or until told to stop."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from lmaas.errors import LocalError, StartFailed
from lmaas.local import logs

_POLL_S = 0.05


class Interrupted(LocalError):
    """Somebody asked to stop before the start was done."""

    code = "interrupted"


class Steps:
    """Runs commands in the checkout, their words appended to a log each."""

    def __init__(
        self,
        root: Path,
        log_folder: Path,
        environment: Mapping[str, str],
        stopping: Callable[[], bool],
    ) -> None:
        self._root, self._logs = root, log_folder
        self._environment, self._stopping = environment, stopping

    def run(self, name: str, command: tuple[str, ...]) -> str:
        """The command's stdout, which is not logged: it may be a key.

        Raises `StartFailed` naming the log, `Interrupted` if told to stop.
        """
        log = self._logs / f"{name}.log"
        with log.open("ab") as errors:
            child = subprocess.Popen(
                command,
                cwd=self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            output = self._wait(name, child)
        if child.returncode != 0:
            raise StartFailed(
                f"{name} failed (exit {child.returncode}): {logs.last_line(log)}; see {log}"
            )
        return output

    def _wait(self, name: str, child: "subprocess.Popen[str]") -> str:
        while True:
            try:
                return child.communicate(timeout=_POLL_S)[0]
            except subprocess.TimeoutExpired:
                if self._stopping():
                    child.terminate()
                    _collect(child)
                    raise Interrupted(f"stopped during {name}") from None


def _collect(child: "subprocess.Popen[str]") -> None:

    try:
        child.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
