"""Counting what waits of the tenants that come near a limit; a chore of the housekeeper."""

import threading
import time
from uuid import UUID

from sqlalchemy import Engine

from jobs.database import run
from jobs.quotas.statements import DUE, FOLD

# Of each second; who was counted longest ago comes first, so nobody is left out.
_AT_MOST_S = 0.25


def fold(engine: Engine, tenant_id: UUID) -> bool:
    """Counts one tenant's queued work; False if it has no limits, or another process
    counted it in this moment."""
    return bool(run(engine, FOLD, {"tenant_id": tenant_id}))


def fold_due(engine: Engine, stopping: threading.Event) -> int:
    """Counts those that are due, for a quarter of a second; returns how many."""
    began, folded = time.monotonic(), 0
    for row in run(engine, DUE, {}):
        if stopping.is_set() or time.monotonic() - began > _AT_MOST_S:
            break
        folded += fold(engine, row.tenant_id)
    return folded
