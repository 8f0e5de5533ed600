"""When the parts that hold no lease were last seen: dispatcher and housekeeper.

Several dispatchers share one row: what counts is that one of them is at work.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from jobs.database import run

DISPATCHER, HOUSEKEEPER = "dispatcher", "housekeeper"
# Each shows itself this often, and is missed after the second time.
EVERY_S = {DISPATCHER: 2.0, HOUSEKEEPER: 60.0}
MISSED_AFTER_S = {DISPATCHER: 10.0, HOUSEKEEPER: 180.0}

_SEEN = text("""
INSERT INTO components AS c (name, broker_ok, broker_since)
VALUES (:name, CAST(:broker_ok AS bool),
        CASE WHEN CAST(:broker_ok AS bool) IS NOT NULL THEN clock_timestamp() END)
ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp(), broker_ok = excluded.broker_ok,
  broker_since = CASE WHEN c.broker_ok IS DISTINCT FROM excluded.broker_ok
                      THEN clock_timestamp() ELSE c.broker_since END
RETURNING name
""")

_READ = text("""
SELECT name, seen_at, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS age_s,
       broker_ok, broker_since, failing
FROM components ORDER BY name
""")


@dataclass(frozen=True, slots=True)
class FailingChore:
    """A chore that failed `times` in a row; `error` is the kind of error, without its text."""

    name: str
    times: int
    error: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Component:
    """A part as it last showed itself. `broker_ok` is None if it does not ask Redis."""

    name: str
    seen_at: datetime
    age_s: float
    broker_ok: bool | None
    broker_since: datetime | None
    failing: tuple[FailingChore, ...] = ()

    @property
    def missed(self) -> bool:
        """Whether it has been silent for too long to be at work."""
        return self.age_s > MISSED_AFTER_S.get(self.name, 60.0)


def seen(engine: Engine, name: str, *, broker_ok: bool | None = None) -> None:
    """Says that a part is at work, and whether Redis answered it just now."""
    run(engine, _SEEN, {"name": name, "broker_ok": broker_ok})


def read(engine: Engine) -> list[Component]:
    """All parts that ever showed themselves."""
    return [_component(row) for row in run(engine, _READ, {})]


def _component(row: Any) -> Component:
    failing = tuple(_chore(name, told) for name, told in sorted(row.failing.items()))
    return Component(row.name, row.seen_at, row.age_s, row.broker_ok, row.broker_since, failing)


def _chore(name: str, told: dict[str, Any]) -> FailingChore:
    return FailingChore(name, told["times"], told["error"], datetime.fromisoformat(told["since"]))
