"""Paused model versions: their running jobs finish, and nothing is claimed.

A row in Postgres, so a pause outlives every restart; workers read it with the
claim itself (`jobs.worker_statements.CLAIM`).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from jobs.database import run

_PAUSE = text("""
INSERT INTO paused_models (model, version, reason) VALUES (:model, :version, :reason)
ON CONFLICT (model, version) DO UPDATE SET reason = excluded.reason
RETURNING model, version, paused_at, reason
""")

_RESUME = text("""
DELETE FROM paused_models WHERE model = :model AND version = :version RETURNING 1
""")

_READ = text("""
SELECT model, version, paused_at, reason FROM paused_models ORDER BY model, version
""")


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when a model version stands still, and the operator's reason for it."""

    model: str
    version: int
    paused_at: datetime
    reason: str


def pause(engine: Engine, model: str, version: int, reason: str) -> Pause:
    """Stops claims. Paused again it keeps its time and takes the new reason."""
    values = {"model": model, "version": version, "reason": reason}
    return Pause(*run(engine, _PAUSE, values)[0])


def resume(engine: Engine, model: str, version: int) -> bool:
    """Lets claims go on; False if it was not paused."""
    return bool(run(engine, _RESUME, {"model": model, "version": version}))


def paused(engine: Engine) -> dict[tuple[str, int], Pause]:
    """All paused model versions."""
    found = [Pause(*row) for row in run(engine, _READ, {})]
    return {(pause.model, pause.version): pause for pause in found}
