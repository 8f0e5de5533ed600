"""Accepted and finished means on disk: Postgres is killed in that very moment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine

from api.services import open_services
from jobs.database import open_engine, transact
from jobs.settings import Settings
from jobs.states import State
from jobs.task_manager import TaskManager
from lmaas.local.postgres import EmbeddedPostgres
from migrations.__main__ import upgrade
from models_store import catalog
from models_store.echo import write_folder
from models_store.importer import import_folder
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_tenant,
    a_worker,
    release_all,
    row,
    submitted,
    success,
)
from workers.worker import Worker


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own. Without fsync a killed process still loses
    what it had not yet written, and that is what is looked at."""
    server = EmbeddedPostgres(tmp_path / "postgres", fsync=False)
    engine = create_engine(server.start())
    with engine.connect() as connection:
        upgrade(connection)
    engine.dispose()
    yield server
    server.remove()


@pytest.fixture
def settings(postgres: EmbeddedPostgres, redis_url: str, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {"DATABASE_URL": postgres.url, "REDIS_URL": redis_url, "store": tmp_path / "store",
         "model": "echo", "device": "cpu"}
    )  # fmt: skip


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings, application="tests")
    yield engine
    engine.dispose()


@contextmanager
def web(settings: Settings) -> Iterator[TaskManager]:
    """The Task Manager as the web process has it."""
    services = open_services(settings)
    yield services.task_manager
    services.notifier.stop()
    services.engine.dispose()


def a_worker_process(settings: Settings, engine: Engine, folder: Path) -> Worker:
    """All parts of a worker, wired as in its process; none of them runs."""
    folder.mkdir()
    write_folder(folder)
    import_folder(folder, name="echo", models_folder=settings.models_folder, engine=engine)
    version = transact(engine, lambda connection: catalog.resolve(connection, "echo"))
    return Worker(settings, version)


def killed_right_after(postgres: EmbeddedPostgres, act: Callable[[], list[UUID]]) -> list[UUID]:
    """What `act` gave a moment before Postgres was killed; it runs again on return."""
    done = act()
    postgres.kill()
    postgres.start()
    return done


def test_what_was_accepted_is_there_after_postgres_was_killed(
    postgres: EmbeddedPostgres, settings: Settings, engine: Engine
) -> None:
    tenant_id = a_tenant(engine)
    with web(settings) as manager:
        for _ in range(2):
            ids = killed_right_after(
                postgres, lambda: [manager.submit(a_job(tenant_id)).id for _ in range(20)]
            )
            assert [row(engine, id).state for id in ids] == [State.QUEUED] * 20


def test_what_was_finished_is_there_after_postgres_was_killed(
    postgres: EmbeddedPostgres, settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    worker = a_worker_process(settings, engine, tmp_path / "echo")
    manager, worker_id = TaskManager(engine), a_worker(engine)
    submitted(manager, a_tenant(engine), 20)
    release_all(manager)
    jobs = manager.claim(worker_id, MODEL, VERSION, 20)

    def finish() -> list[UUID]:
        return [id for job in jobs for id in worker._task_manager.finish(worker_id, [success(job)])]

    ids = killed_right_after(postgres, finish)
    assert len(ids) == 20
    assert [row(engine, id).state for id in ids] == [State.SUCCEEDED] * 20
    worker._durable.dispose()
    worker._quick.dispose()
