"""`python -m api`: becomes gunicorn with the settings of `api.gunicorn_conf`."""

import os
import sys
import tempfile

from files_store.contents import open_contents
from jobs.errors import BadSettings
from jobs.settings import load


def main() -> None:
    """Replaces this process; a bad setting stops it with a sentence."""
    try:
        open_contents(load())  # a bad LMAAS_FILES stops the start
    except BadSettings as error:
        sys.exit(f"web does not start: {error.message}")
    # A fresh folder: counters of processes that are gone must not be added up.
    folder = tempfile.mkdtemp(prefix="lmaas-metrics-")
    environment = dict(os.environ) | {"PROMETHEUS_MULTIPROC_DIR": folder}  # noqa: TID251
    command = ["-m", "gunicorn", "--no-control-socket", "-c", "python:api.gunicorn_conf"]
    os.execve(sys.executable, [sys.executable, *command, "api.app:create_app()"], environment)  # noqa: S606


if __name__ == "__main__":
    main()
