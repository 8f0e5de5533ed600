"""A version is deleted: first nothing names it, then its jobs end, then its files go."""

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine

from dispatcher.deleted_models import finish_deletions
from jobs.database import transact
from jobs.errors import ModelInUse, UnknownModel
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from models_store import aliases, catalog, deletion
from models_store.catalog import ModelVersion
from models_store.folders import version_folder
from models_store.importer import import_folder, verify
from tests.integration.job_samples import claimed, row, rows, submitted, success, value
from tests.unit.model_store_files import write_lm


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_lm(tmp_path / "source")


def bring(folder: Path, settings: Settings, engine: Engine, words: str = "one") -> ModelVersion:
    """The model whose jobs `job_samples` makes; other words, other version."""
    (folder / "README.md").write_text(words, encoding="utf-8")
    return import_folder(folder, name="echo", models_folder=settings.models_folder, engine=engine)


def delete(engine: Engine, text: str, *, end_jobs: bool = False) -> None:
    transact(engine, lambda connection: deletion.delete(connection, text, end_jobs=end_jobs))


def resolved(engine: Engine, text: str) -> str:
    return transact(engine, lambda connection: catalog.resolve(connection, text)).reference


def a_minute_later(engine: Engine) -> None:
    rows(engine, "UPDATE model_versions SET deleted_at = deleted_at - interval '61 s' "
                 "WHERE deleted_at IS NOT NULL RETURNING 1")  # fmt: skip


def states(engine: Engine, ids: list[UUID]) -> list[tuple[str, str | None]]:
    found = [row(engine, id) for id in ids]
    return [(job.state, job.error_code) for job in found]


def test_nothing_names_a_deleted_version_and_its_name_means_the_one_before(
    folder: Path, settings: Settings, engine: Engine
) -> None:
    bring(folder, settings, engine)
    bring(folder, settings, engine, "two")
    delete(engine, "echo@2")
    assert resolved(engine, "echo") == "echo@1"
    for gone in ("echo@2", "echo@3"):
        with pytest.raises(UnknownModel):
            resolved(engine, gone)
    delete(engine, "echo@1")
    with pytest.raises(UnknownModel):
        resolved(engine, "echo")
    assert bring(folder, settings, engine, "three").version == 3


def test_a_name_without_its_version_is_not_deleted(
    folder: Path, settings: Settings, engine: Engine
) -> None:
    bring(folder, settings, engine)
    with pytest.raises(ModelInUse, match="as in echo@1"):
        delete(engine, "echo")


def test_no_alias_is_left_without_a_version(
    folder: Path, settings: Settings, engine: Engine
) -> None:
    bring(folder, settings, engine)
    transact(engine, lambda connection: aliases.move(connection, "newest", "echo"))
    with pytest.raises(ModelInUse, match="the alias 'newest' names echo@1"):
        delete(engine, "echo@1")
    bring(folder, settings, engine, "two")
    transact(engine, lambda connection: aliases.move(connection, "stable", "echo@2"))
    with pytest.raises(ModelInUse, match="the alias 'stable' names echo@2"):
        delete(engine, "echo@2")
    delete(engine, "echo@1")
    assert resolved(engine, "newest") == "echo@2"


def test_with_open_jobs_it_has_to_be_said_that_they_end(
    folder: Path, settings: Settings, engine: Engine, manager: TaskManager, tenant_id: UUID
) -> None:
    bring(folder, settings, engine)
    _, [running] = claimed(manager, engine, tenant_id)
    [waiting] = submitted(manager, tenant_id)
    with pytest.raises(ModelInUse, match="2 jobs wait for echo@1 or run on it"):
        delete(engine, "echo@1")
    assert resolved(engine, "echo@1") == "echo@1"
    delete(engine, "echo@1", end_jobs=True)
    finish_deletions(engine, settings)
    assert states(engine, [running.id, waiting]) == [
        ("running", None),
        ("failed", "model_deleted"),
    ]


def test_files_stay_while_a_job_runs_and_a_minute_for_submits_that_were_on_their_way(
    folder: Path, settings: Settings, engine: Engine, manager: TaskManager, tenant_id: UUID
) -> None:
    bring(folder, settings, engine)
    files = version_folder(settings.models_folder, "echo", 1)
    worker_id, [running] = claimed(manager, engine, tenant_id)
    delete(engine, "echo@1", end_jobs=True)
    a_minute_later(engine)
    finish_deletions(engine, settings)
    assert files.exists()
    assert manager.finish(worker_id, [success(running)])
    rows(engine, "UPDATE model_versions SET deleted_at = clock_timestamp() RETURNING 1")
    [late] = submitted(manager, tenant_id)
    finish_deletions(engine, settings)
    assert files.exists()
    assert states(engine, [running.id, late]) == [("succeeded", None), ("failed", "model_deleted")]
    a_minute_later(engine)
    finish_deletions(engine, settings)
    assert not files.exists()
    assert value(engine, "SELECT count(*) FROM fair_shares") == 0
    assert value(engine, "SELECT count(erased_at) FROM model_versions") == 1
    finish_deletions(engine, settings)  # nothing is left to do


@pytest.mark.parametrize("files_are_gone", [False, True])
def test_the_same_files_again_are_the_same_version_again(
    files_are_gone: bool, folder: Path, settings: Settings, engine: Engine
) -> None:
    first = bring(folder, settings, engine)
    delete(engine, "echo@1")
    if files_are_gone:
        a_minute_later(engine)
        finish_deletions(engine, settings)
    again = bring(folder, settings, engine)
    assert again.reference == first.reference == resolved(engine, "echo")
    a_minute_later(engine)
    finish_deletions(engine, settings)
    verify(again, settings.models_folder)
