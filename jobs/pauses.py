"""Paused model versions: their running jobs finish, and nothing is claimed.

A row in Postgres, so a pause outlives every restart; workers read it with the
claim itself (`jobs.worker_statements.CLAIM`).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from jobs import audit
from jobs.audit import Actor, Change
from jobs.database import run, transact

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


def pause(engine: Engine, model: str, version: int, reason: str, by: Actor | None = None) -> Pause:
    """Stops claims. Paused again it keeps its time and takes the new reason. `by` stands
    in the audit log, None for an operator. The reason is kept as one line: it becomes part
    of sentences."""
    values = {"model": model, "version": version, "reason": " ".join(reason.split())}
    change = Change("model.pause", f"{model}@{version}")

    def work(connection: Connection) -> Pause:
        paused = connection.execute(_PAUSE, values).one()
        audit.record(connection, by, change)
        return Pause(*paused)

    return transact(engine, work)


def resume(engine: Engine, model: str, version: int, by: Actor | None = None) -> bool:
    """Lets claims go on; False if it was not paused."""
    change = Change("model.resume", f"{model}@{version}")

    def work(connection: Connection) -> bool:
        values = {"model": model, "version": version}
        resumed = connection.execute(_RESUME, values).one_or_none() is not None
        if resumed:
            audit.record(connection, by, change)
        return resumed

    return transact(engine, work)


def paused(engine: Engine) -> dict[tuple[str, int], Pause]:
    """All paused model versions."""
    found = [Pause(*row) for row in run(engine, _READ, {})]
    return {(pause.model, pause.version): pause for pause in found}
