"""The checkout that the server runs from, and its folder for state."""

import os
from dataclasses import dataclass
from pathlib import Path

from lmaas.errors import NotACheckout, StateUnusable

_MARKS = ("Procfile", "setup.cfg", "workers", "dispatcher")


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where the code is (`root`) and where everything that is made goes (`state`)."""

    root: Path
    state: Path

    @property
    def memory_file(self) -> Path:
        """What is kept from start to start: passwords, ports, the API key."""
        return self.state / "settings.json"

    @property
    def environment_file(self) -> Path:
        """The settings of what runs now, for commands beside it; gone when nothing runs."""
        return self.state / "environment.json"

    @property
    def report_file(self) -> Path:
        """What the supervisor last said about itself and its processes."""
        return self.state / "supervisor.json"

    @property
    def lock_file(self) -> Path:
        """Locked by the supervisor for as long as it lives."""
        return self.state / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor wrote; not in `logs`, which it puts aside at its start."""
        return self.state / "supervisor.log"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state / "logs"

    def prepare(self) -> None:
        """Makes the folders; raises `StateUnusable` with what to do."""
        try:
            for folder in (self.state, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.state / f".writable.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StateUnusable(
                f"{self.state} cannot be written ({error.strerror}); "
                "make room there or give it to your user, or set LMAAS_STATE to another folder"
            ) from error


def find_checkout() -> Checkout:
    """The checkout above the working directory, else the one this package lies in.

    LMAAS_STATE moves the state elsewhere, so that several can run from one
    checkout. Raises `NotACheckout`.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if all((folder / mark).exists() for mark in _MARKS):
            setting = os.environ.get("LMAAS_STATE")
            state = Path(setting).absolute() if setting else folder / ".lmaas"
            return Checkout(folder, state)
    raise NotACheckout(
        f"{here} is not inside a checkout of LMaaS, and servers run from one only; "
        "change into it, or use LMAAS_URL and LMAAS_API_KEY to reach a server elsewhere"
    )
