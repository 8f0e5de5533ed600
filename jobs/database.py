"""Connections to Postgres and what all of them have in common.

Owns the table registry, the engine's settings and the repetition of
transactions that Postgres itself asks to be run again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, Engine, MetaData, TextClause, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase

from jobs.errors import DatabaseUnavailable
from jobs.settings import Settings

T = TypeVar("T")
Rows = Sequence[Any]

_DIALECT = dialect()  # type: ignore[no-untyped-call]

# An internal error is what a server says that became read-only in a failover.
_AWAY = (OperationalError, InterfaceError, InternalError,
         psycopg.OperationalError, psycopg.InternalError)  # fmt: skip
# Deadlock and serialization failure: run the transaction again.
_AGAIN = frozenset({"40P01", "40001"})
_ATTEMPTS = 5


class Base(DeclarativeBase):
    """All records. Names of constraints are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def open_engine(
    settings: Settings,
    *,
    application: str,
    connections: int = 5,
    durable: bool = True,
    plan_once: bool = False,
) -> Engine:
    """An engine for one process. `application` is what pg_stat_activity shows.

    With `durable=False` a commit does not wait for the disk: a crash of
    Postgres may forget the last moments, which release and claim can bear
    (the rows are then simply waiting again), accept and finish cannot.

    With `plan_once` a repeated statement is planned once for all values. Where
    nothing but a few statements runs, again and again and by their keys, that is
    always right, and Postgres' own guess cost as much as the statement each time.
    """
    url = settings.database_url.get_secret_value()
    arguments = _arguments(application, durable=durable, plan_once=plan_once)
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=5,
        hide_parameters=True,  # an error that is logged must not carry a prompt
        connect_args=arguments,
    )
    # For single statements: connections that never open a transaction block
    # need no BEGIN, COMMIT or ROLLBACK, which cost as much as a small query.
    single = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=5,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        connect_args=arguments,
    )
    _singles[engine] = single
    event.listen(engine, "engine_disposed", lambda _: single.dispose())
    return engine


def _arguments(application: str, *, durable: bool, plan_once: bool) -> dict[str, str | int]:
    options = "-c timezone=UTC -c lock_timeout=10s -c statement_timeout=60s"
    options += " -c idle_in_transaction_session_timeout=30s"
    if not durable:
        options += " -c synchronous_commit=off"
    if plan_once:
        options += " -c plan_cache_mode=force_generic_plan"
    return {
        "application_name": application,
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "options": options,
    }


_singles: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


def run(engine: Engine, statement: TextClause, values: Mapping[str, Any]) -> Rows:
    """Runs one statement as a transaction of its own, in one round trip; rows
    are named tuples. The engine must come from `open_engine`.

    It goes to the driver over SQLAlchemy's pool: SQLAlchemy's own result
    machinery costs as much as these statements do (docs/benchmarks.md).
    """
    single = _singles[engine]
    sql = _sql(statement)

    def work(cursor: psycopg.Cursor[Any]) -> Rows:
        return cursor.execute(sql, values).fetchall()

    return _repeat(lambda: _driver_cursor(single), work)


@cache
def _sql(statement: TextClause) -> bytes:
    return str(statement.compile(dialect=_DIALECT)).encode()


@contextmanager
def _driver_cursor(single: Engine) -> Iterator[psycopg.Cursor[Any]]:
    """A cursor on a pooled connection. If that turns out to be dead so are the
    others, and the pool begins anew."""
    pooled = single.raw_connection()
    connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
    try:
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            yield cursor
    except psycopg.Error as error:
        if connection.closed:
            pooled.invalidate()
            single.dispose()
            raise _Lost from error
        raise
    finally:
        pooled.close()


class _Lost(Exception):
    """A connection ended under a statement; its cause is the driver's error."""


def transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Runs `work` in one transaction and commits it."""
    return _repeat(engine.begin, work)


def _repeat(begin: Callable[[], Any], work: Callable[[Any], T]) -> T:
    """Runs `work` on a fresh connection, again where that is right.

    Deadlocks are run again, and once a connection that turned out to be dead
    (Postgres was restarted since it was last used). Then the first run may
    have been committed all the same, so every statement of LMaaS is written
    to be harmless when it runs twice. Raises `DatabaseUnavailable` if Postgres
    cannot be reached or goes away.
    """
    reconnected = False
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with begin() as handle:
                return work(handle)
        except (*_AWAY, _Lost) as error:
            if attempt < _ATTEMPTS and _sqlstate(error) in _AGAIN:
                continue
            if not reconnected and _is_lost(error):
                reconnected = True
                continue
            raise _unavailable(error) from error
        except PoolTimeout as error:
            raise _unavailable(error) from error
    raise DatabaseUnavailable(f"a transaction met {_ATTEMPTS} deadlocks in a row; try again")


def _is_lost(error: Exception) -> bool:
    return isinstance(error, _Lost) or getattr(error, "connection_invalidated", False)


def _sqlstate(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def _unavailable(error: Exception) -> DatabaseUnavailable:
    # Neither the URL nor the statement may reach a client or a log.
    return DatabaseUnavailable(
        f"Postgres does not answer ({type(error).__name__}); whether this "
        "was recorded is not known. Try again, with the same Idempotency-Key for a submit; "
        "/health/ready tells when it is back."
    )
