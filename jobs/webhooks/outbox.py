"""What is to be told: from the outbox to the receivers' deliveries, these leased by a
process while they are due, then marked with what came of it.

A lease is a token in the row, and the row's next time lies behind it: of a process
that died the rows come back by themselves. Several processes may claim at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from jobs.database import Rows, run, transact
from jobs.ids import new_id
from jobs.webhooks import statements

# At once for one receiver, and for all receivers of one tenant.
PER_LANE, PER_TENANT = 8, 16
# A receiver that fails for so long and so often is disabled.
FAILING = "3 days"
MOST_FAILURES = 10
# Lanes that one claim looks at; the next claim goes on behind them.
_MOST_LANES = 1_000
_MOST_EVENTS = 1_000
_START = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that this process holds. `secrets` are as they are stored, the
    newest first; none if the tenant has no signing secret yet."""

    id: UUID
    tenant_id: UUID
    endpoint_id: UUID | None
    url: str
    event_id: UUID
    type: str
    subject: str
    created_at: datetime
    tries: int
    lease: UUID
    secrets: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt: delivered if there is no `error_code`. After `gone`
    an endpoint is sent nothing any more. `pause_s` is until the next attempt."""

    duration_s: float
    http_status: int | None = None
    error_code: str | None = None
    reason: str | None = None
    gone: bool = False
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Marked:
    """Where a delivery stands now, and why its endpoint is disabled if it is."""

    state: str
    disabled: str | None


class Outbox:
    """See the module. Each process has one; it remembers where it looked last."""

    def __init__(self, engine: Engine, lease_s: float) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._after = _START

    def spread(self) -> bool:
        """Writes a delivery for each receiver of what was announced; whether there
        may be more of that."""
        rows = run(self._engine, statements.SPREAD, {"at_once": _MOST_EVENTS})
        return int(rows[0].events) == _MOST_EVENTS

    def claim(self, free: int) -> list[Due]:
        """Up to `free` due deliveries, those that waited longest first; none if
        another process claims at this moment."""
        lease = new_id()
        values = {
            "after": self._after,
            "most_lanes": _MOST_LANES,
            "per_lane": PER_LANE,
            "per_tenant": PER_TENANT,
            "free": free,
            "lease": lease,
            "lease_s": self._lease_s,
        }

        def look(connection: Connection) -> Rows:
            if not connection.execute(statements.ALONE).scalar_one():
                return []
            return connection.execute(statements.CLAIM, values).all()

        rows = transact(self._engine, look)
        if rows:
            self._after = rows[0].last if rows[0].lanes == _MOST_LANES else _START
        return [_due(row, lease) for row in rows if row.id is not None]

    def mark(self, due: Due, answer: Answer) -> Marked | None:
        """Writes down what came of an attempt, unless the lease was lost meanwhile
        (None): then somebody else tells the same event again."""
        values = {
            "id": due.id,
            "lease": due.lease,
            "delivered": answer.error_code is None,
            "gone": answer.gone,
            "duration_s": answer.duration_s,
            "http_status": answer.http_status,
            "error_code": answer.error_code,
            "reason": answer.reason,
            "pause_s": answer.pause_s,
            "failing": FAILING,
            "most_failures": MOST_FAILURES,
        }
        rows = run(self._engine, statements.MARK, values)
        return Marked(*rows[0]) if rows else None


def _due(row: Any, lease: UUID) -> Due:
    return Due(
        id=row.id,
        tenant_id=row.tenant_id,
        endpoint_id=row.endpoint_id,
        url=row.url,
        event_id=row.event_id,
        type=row.type,
        subject=row.subject,
        created_at=row.created_at,
        tries=row.tries,
        lease=lease,
        secrets=[secret for secret in (row.secret, row.old_secret) if secret is not None],
    )
