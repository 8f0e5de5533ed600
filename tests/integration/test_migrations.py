"""Migrations make the tables that the records describe, from nothing, twice, at once."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, make_url, text

import files_store.records
import jobs.batches.records
import jobs.outlook.records
import jobs.records
import jobs.shares.records
import jobs.tenant_records
import jobs.webhooks.records
import jobs.worker_records
import models_store.records
from jobs.database import Base
from migrations.__main__ import configuration, upgrade
from tests.conditions import ROOT

TABLES_FROM = (
    files_store.records,
    jobs.batches.records,
    jobs.outlook.records,
    jobs.records,
    jobs.shares.records,
    jobs.webhooks.records,
    jobs.tenant_records,
    jobs.worker_records,
    models_store.records,
)


@pytest.fixture
def empty_url(postgres_url: str) -> str:
    """A database without tables; it goes with the server."""
    name = f"empty_{uuid4().hex}"
    engine = create_engine(make_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)


def release(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "migrations"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_migrations_equal_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgrade_of_an_upgraded_database_changes_nothing(engine: Engine) -> None:
    with engine.connect() as connection:
        upgrade(connection)
    test_migrations_equal_the_metadata(engine)


def test_the_release_process_is_safe_twice_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(release, [empty_url] * 2))
    assert [(done.returncode, done.stdout) for done in ended] == [(0, "")] * 2
    engine = create_engine(empty_url)
    test_migrations_equal_the_metadata(engine)
    engine.dispose()


def test_the_way_back_leaves_nothing(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        upgrade(connection)
        command.downgrade(configuration(connection), "base")
        connection.commit()
        assert inspect(connection).get_table_names() == ["alembic_version"]
        upgrade(connection)
    test_migrations_equal_the_metadata(engine)
    engine.dispose()


def test_a_release_without_postgres_is_one_sentence_and_no_traceback() -> None:
    done = release("postgresql+psycopg://me:sesame@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("release failed: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "sesame" not in done.stderr
