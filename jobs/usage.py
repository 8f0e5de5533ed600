"""What tenants used: jobs that ended and their tokens, by model version and day (UTC).

The end of a job and its settlement are one statement; a settlement is taken out and
added here by one statement (`jobs.shares.statements.SETTLE`). So each job counts once,
whatever is killed between. Tokens are those of the ledger: a completion's as they were
written, a prompt's if its job succeeded or wrote anything.
"""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.states import TERMINAL

_STATES = tuple(sorted(state.value for state in TERMINAL))
_COUNTS = (*_STATES, "prompt_tokens", "completion_tokens")

_BY_STATE = ", ".join(f"count(*) FILTER (WHERE state = '{state}') AS {state}" for state in _STATES)
_ADDED = ", ".join(f"{name} = u.{name} + excluded.{name}" for name in _COUNTS)

# The part of `SETTLE` that counts; rows of `ended` that have no day did not end.
USED = f"""
, by_day AS MATERIALIZED (
  SELECT tenant_id, ended_on AS day, model, version, {_BY_STATE},
         sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens
  FROM ended WHERE ended_on IS NOT NULL GROUP BY tenant_id, ended_on, model, version
), used AS (
  INSERT INTO usage_days AS u (tenant_id, day, model, version, {", ".join(_COUNTS)})
  SELECT tenant_id, day, model, version, {", ".join(_COUNTS)}
  FROM by_day ORDER BY tenant_id, day, model, version
  ON CONFLICT (tenant_id, day, model, version) DO UPDATE SET {_ADDED}
)"""  # noqa: S608 - only constants are joined

_ONE_EACH = ", ".join(f"CAST(state = '{state}' AS int)" for state in _STATES)
_SUMS = ", ".join(f"CAST(sum({name}) AS int8) AS {name}" for name in _COUNTS)

# With what is not yet folded, so that what was just told of a job is counted too.
_READ = text(f"""
SELECT u.tenant_id, u.day, u.model, u.version, {_SUMS} FROM (
  SELECT CASE WHEN :by_tenant THEN tenant_id END AS tenant_id,
         CASE WHEN :by_day THEN day END AS day,
         CASE WHEN :by_model THEN model END AS model,
         CASE WHEN :by_model THEN version END AS version, {", ".join(_COUNTS)}
  FROM (
    SELECT tenant_id, day, model, version, {", ".join(_COUNTS)} FROM usage_days
    UNION ALL
    SELECT tenant_id, ended_on, model, version, {_ONE_EACH}, prompt_tokens, completion_tokens
    FROM settlements WHERE ended_on IS NOT NULL
  ) every
  WHERE (CAST(:tenant_id AS uuid) IS NULL OR tenant_id = :tenant_id)
    AND day BETWEEN :first AND :last
    AND (CAST(:model AS text) IS NULL OR model = :model)
    AND (CAST(:version AS int) IS NULL OR version = :version)
) u
GROUP BY u.tenant_id, u.day, u.model, u.version
ORDER BY u.day, u.tenant_id, u.model, u.version LIMIT :limit
""")  # noqa: S608 - only constants are joined


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which usage is asked for, days included, and what its lines stand for: without
    `by_day` one line for all days, and so on."""

    first: date
    last: date
    model: str | None = None
    version: int | None = None
    by_day: bool = True
    by_model: bool = True
    limit: int = 1_000


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Jobs that ended, by state, and their tokens. What lines are not divided by is None."""

    tenant_id: UUID | None
    day: date | None
    model: str | None
    version: int | None
    cancelled: int
    expired: int
    failed: int
    succeeded: int
    prompt_tokens: int
    completion_tokens: int


def of_tenant(engine: Engine, tenant_id: UUID, wanted: Wanted) -> list[UsageLine]:
    """One tenant's usage now, oldest day first."""
    return _read(engine, tenant_id, wanted)


def of_all(engine: Engine, wanted: Wanted) -> list[UsageLine]:
    """The same for every tenant, for whoever runs the installation."""
    return _read(engine, None, wanted)


def _read(engine: Engine, tenant_id: UUID | None, wanted: Wanted) -> list[UsageLine]:
    values = {
        "tenant_id": tenant_id,
        "by_tenant": tenant_id is None,
        "by_day": wanted.by_day,
        "by_model": wanted.by_model,
        "first": wanted.first,
        "last": wanted.last,
        "model": wanted.model,
        "version": wanted.version,
        "limit": wanted.limit,
    }
    return [UsageLine(*row) for row in run(engine, _READ, values)]
