"""What was told to whom and how it went: the deliveries and their attempts, for a week.

A replay makes deliveries due again; the event and its id stay what they were.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, TextClause, text

from jobs.database import run
from jobs.ids import new_id
from jobs.moments import in_utc, maybe_in_utc
from jobs.webhooks.errors import UnknownDelivery

MOST_ATTEMPTS_SHOWN = 30
MOST_REPLAYED = 10_000

_LIST = """
SELECT d.id, d.endpoint_id, d.event_id, d.type, d.subject, d.state, d.created_at, d.ended_at,
       CASE WHEN d.state = 'pending' THEN d.next_at END AS next_at,
       (SELECT json_agg(json_build_array(extract(epoch FROM a.at)::float8, a.duration_ms,
                                         a.http_status, a.error_code, a.reason) ORDER BY a.id)
        FROM (SELECT * FROM webhook_attempts a WHERE a.delivery_id = d.id
              ORDER BY a.id DESC LIMIT :most_attempts) a) AS attempts
FROM webhook_deliveries d
WHERE d.tenant_id = :tenant_id {also}
ORDER BY d.id DESC LIMIT :limit
"""
_ALSO = {
    "endpoint_id": "d.endpoint_id = :endpoint_id",
    "id": "d.id = :id",
    "subject": "d.subject = :subject",
    "state": "d.state = :state",
    "before": "d.id < :before",
}

_AGAIN = """UPDATE webhook_deliveries d SET state = 'pending', tries = 0, lease = NULL,
  ended_at = NULL, next_at = clock_timestamp(),
  give_up_at = clock_timestamp() + interval '24 hours'"""

_REPLAY = text(f"""
{_AGAIN}
WHERE d.id = :id AND d.endpoint_id = :endpoint_id AND d.tenant_id = :tenant_id
RETURNING d.id
""")

# Ids are made in order of time, so what is replayed first is what came first.
_REPLAY_MANY = text(f"""
WITH chosen AS MATERIALIZED (
  SELECT id FROM webhook_deliveries
  WHERE endpoint_id = :endpoint_id AND tenant_id = :tenant_id
    AND created_at >= :since AND created_at < coalesce(:until, clock_timestamp())
    AND state <> 'pending' AND (CAST(:state AS text) IS NULL OR state = :state)
  ORDER BY id LIMIT :most FOR UPDATE
)
{_AGAIN}
FROM chosen WHERE d.id = chosen.id RETURNING d.id
""")  # noqa: S608 - only constants are joined

_TEST = text("""
INSERT INTO webhook_deliveries (id, tenant_id, endpoint_id, lane, event_id, type, subject)
SELECT :id, tenant_id, id, id, :event_id, :type, CAST(id AS text) FROM webhook_endpoints
WHERE id = :endpoint_id AND tenant_id = :tenant_id
ON CONFLICT (id) DO UPDATE SET type = excluded.type RETURNING id
""")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a receiver; it succeeded if there is no `error_code`."""

    at: float
    duration_ms: int
    http_status: int | None
    error_code: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver, with its latest attempts in order."""

    id: UUID
    endpoint_id: UUID | None
    event_id: UUID
    type: str
    subject: str
    state: str
    created_at: datetime
    ended_at: datetime | None
    next_at: datetime | None
    attempts: list[Attempt]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries of a tenant are meant; `before` is the last id of the page before."""

    endpoint_id: UUID | None = None
    id: UUID | None = None
    subject: str | None = None
    state: str | None = None
    before: UUID | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Period:
    """What was made from `since` on and before `until` (now, if not given)."""

    since: datetime
    until: datetime | None = None


def deliveries(engine: Engine, tenant_id: UUID, wanted: DeliveryFilter) -> list[Delivery]:
    """A tenant's deliveries, newest first."""
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    values = given | {"tenant_id": tenant_id, "most_attempts": MOST_ATTEMPTS_SHOWN}
    statement = _list(frozenset(_ALSO).intersection(given))
    return [_delivery(row) for row in run(engine, statement, values)]


@cache
def _list(by: frozenset[str]) -> TextClause:
    # Only what is asked for stands in it, so that each kind of list finds its index.
    return text(_LIST.format(also="".join(f" AND {_ALSO[name]}" for name in sorted(by))))


def _delivery(row: Any) -> Delivery:
    values = row._asdict()
    return Delivery(**values | {"attempts": [Attempt(*each) for each in values["attempts"] or ()]})


def replay(engine: Engine, tenant_id: UUID, endpoint_id: UUID, id: UUID) -> Delivery:
    """Makes one due again, whatever became of it. Raises `UnknownDelivery`."""
    values = {"tenant_id": tenant_id, "endpoint_id": endpoint_id, "id": id}
    if not run(engine, _REPLAY, values):
        raise UnknownDelivery(f"this webhook has no delivery {str(id)!r}")
    return deliveries(engine, tenant_id, DeliveryFilter(id=id))[0]


def replay_many(
    engine: Engine, tenant_id: UUID, endpoint_id: UUID, period: Period, state: str | None
) -> int:
    """Makes those of a time due again that have ended, up to `MOST_REPLAYED`, oldest
    first; returns how many. `state` None means delivered ones as well. Raises
    `InvalidRequest` for a moment outside the calendar."""
    values = {
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "since": in_utc(period.since, "since"),
        "until": maybe_in_utc(period.until, "until"),
        "state": state,
        "most": MOST_REPLAYED,
    }
    return len(run(engine, _REPLAY_MANY, values))


def add_test(engine: Engine, tenant_id: UUID, endpoint_id: UUID, type: str) -> UUID | None:  # noqa: A002
    """An event for this endpoint alone; its delivery's id, None if there is no such
    endpoint."""
    values = {
        "id": new_id(),
        "event_id": new_id(),
        "type": type,
        "endpoint_id": endpoint_id,
        "tenant_id": tenant_id,
    }
    rows = run(engine, _TEST, values)
    return UUID(str(rows[0].id)) if rows else None
