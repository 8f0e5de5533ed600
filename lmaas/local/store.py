"""The Model Store from outside: a folder on this machine becomes a model version."""

import json
import subprocess
from pathlib import Path
from typing import Any

from lmaas.errors import BadUsage, LocalError
from lmaas.local import environment, report
from lmaas.local.checkout import Checkout
from lmaas.local.memory import Memory
from lmaas.local.plans import python
from lmaas.local.servers import known_urls


class ImportRefused(LocalError):
    """The Model Store did not take the folder."""

    code = "import_refused"


def import_folder(
    checkout: Checkout, folder: Path, name: str, aliases: tuple[str, ...]
) -> dict[str, Any]:
    """Imports a model; what the Model Store says about it.

    A path never goes over HTTP, so this works on the server's machine only.
    """
    words = ["import", str(folder.resolve()), "--name", name, "--json"]
    words += [word for alias in aliases for word in ("--alias", alias)]
    done = subprocess.run(
        python("models_store", *words),
        cwd=checkout.root,
        env=_settings(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ImportRefused(said[-1] if said else f"the import ended with {done.returncode}")
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def _settings(checkout: Checkout) -> dict[str, str]:
    """Those of what runs here; of a database that somebody else runs where nothing does."""
    if report.supervisor_lives(checkout):
        return environment.beside(checkout)
    memory = Memory.read(checkout.memory_file)
    urls = known_urls(memory) if memory is not None else None
    if memory is None or urls is None:
        raise BadUsage("no database is known here: run `lmaas up` first, or set DATABASE_URL")
    return environment.for_processes(checkout, memory, *urls)
