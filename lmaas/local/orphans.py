"""Processes that a supervisor left behind when it was killed.

They are found by what it wrote down (pid and start time) and, on Linux, by a
mark in their environment, which their own children carry too.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from lmaas.local import process, report
from lmaas.local.account import unprivileged
from lmaas.local.checkout import Checkout
from lmaas.local.postgres_cluster import end_leftover, reachable
from lmaas.local.process import Identity

MARK = "LMAAS_SUPERVISED"


def find(checkout: Checkout) -> list[Identity]:
    """Live processes of an earlier supervisor; call it only while none lives."""
    found = {orphan.pid: orphan for orphan in _marked(checkout)}
    last = report.read(checkout.report_file)
    for item in last.processes if last else ():
        if item.pid is not None and item.started is not None:
            recorded = Identity(item.pid, item.started)
            if process.is_running(recorded):
                found[recorded.pid] = recorded
    return list(found.values())


def end_all(checkout: Checkout, timeout_s: float = 15) -> int:
    """Ends them, Postgres last and cleanly; how many there were."""
    orphans = find(checkout)
    data = reachable(checkout.state / "postgres", unprivileged()) / "data"
    others = [orphan for orphan in orphans if not process.works_in(orphan.pid, data)]
    for orphan in others:
        process.send(orphan, signal.SIGTERM)
    for orphan in others:
        process.end(orphan, signal.SIGTERM, timeout_s)
    end_leftover(data)
    return len(orphans)


def _marked(checkout: Checkout) -> Iterator[Identity]:
    if not sys.platform.startswith("linux"):
        return
    mark = f"{MARK}={checkout.state}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            marked = mark in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone meanwhile, or somebody else's
        found = process.identify(int(folder.name)) if marked else None
        if found is not None:
            yield found
