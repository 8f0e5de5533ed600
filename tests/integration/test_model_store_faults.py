"""Imports beside each other, on a full disk, and killed at any point."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time
from typing import NoReturn

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from jobs.database import transact
from jobs.errors import ModelRefused
from models_store import aliases, catalog, folders
from models_store.catalog import ModelVersion
from models_store.folders import version_folder
from models_store.importer import import_folder, verify
from tests.unit.model_store_files import write_lm

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "store" / "models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_lm(tmp_path / "source")


def bring(folder: Path, models: Path, engine: Engine, name: str = "m") -> ModelVersion:
    return import_folder(folder, name=name, models_folder=models, engine=engine)


def listed(engine: Engine) -> list[ModelVersion]:
    return transact(engine, catalog.list_models)


def left_over(models: Path) -> list[Path]:
    return sorted(models.glob(".*"))


def test_a_full_disk_leaves_nothing(
    folder: Path, models: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(ModelRefused, match="No space left on device; nothing was imported"):
        bring(folder, models, engine)
    assert listed(engine) == []
    assert left_over(models) == []


def test_a_link_that_takes_a_files_place_after_the_check_is_not_followed(
    folder: Path, models: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = folder.parent / "secret"
    secret.write_text("secret", encoding="utf-8")

    def swap(_: Path) -> int:
        (folder / "README.md").unlink()
        (folder / "README.md").symlink_to(secret)
        return 0

    monkeypatch.setattr(folders, "remove_abandoned", swap)
    with pytest.raises(ModelRefused, match="Too many levels of symbolic links"):
        bring(folder, models, engine)
    assert listed(engine) == []


def test_a_deadlock_after_the_move_runs_the_transaction_again(
    folder: Path, models: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deadlock(Exception):
        sqlstate = "40P01"

    add, calls = aliases.add, []

    def fail_once(connection: Connection, name: str, also: Sequence[str]) -> None:
        calls.append(name)
        if len(calls) == 1:
            raise OperationalError("", {}, Deadlock())
        add(connection, name, also)

    monkeypatch.setattr(aliases, "add", fail_once)
    model = bring(folder, models, engine)
    assert (model.version, len(calls)) == (1, 2)
    verify(model, models)


def test_the_same_import_many_times_at_once_is_one_version(
    folder: Path, models: Path, engine: Engine
) -> None:
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: bring(folder, models, engine), range(12)))
    assert {model.reference for model in found} == {"m@1"}
    verify(found[0], models)
    assert len(listed(engine)) == 1
    assert left_over(models) == []


def test_different_imports_of_one_name_at_once_get_their_own_numbers(
    tmp_path: Path, models: Path, engine: Engine
) -> None:
    sources = [write_lm(tmp_path / str(number)) for number in range(8)]
    for source in sources:
        (source / "README.md").write_text(source.name, encoding="utf-8")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda source: bring(source, models, engine), sources))
    assert sorted(model.version for model in found) == list(range(1, 9))
    for model, source in zip(found, sources, strict=True):
        verify(model, models)
        readme = version_folder(models, "m", model.version) / "README.md"
        assert readme.read_text(encoding="utf-8") == source.name


DIES = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import create_engine
import shutil
from models_store import aliases, catalog, folders, importer, manifest

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

{point} = die
importer.import_folder(Path(sys.argv[1]), name="m", models_folder=Path(sys.argv[2]),
                       engine=create_engine(sys.argv[3]))
"""


@pytest.mark.parametrize(
    ("point", "left"),
    [
        ("shutil.copyfileobj", 1),
        ("importer._write", 1),
        ("folders.publish", 1),
        ("catalog.register", 0),
        ("aliases.add", 0),
    ],
)
def test_an_import_killed_at_any_point_is_invisible_and_can_be_repeated(
    point: str, left: int, folder: Path, models: Path, engine: Engine
) -> None:
    url = engine.url.render_as_string(hide_password=False)
    code = DIES.format(point=point)
    died = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(models), url], cwd=CHECKOUT, check=False
    )
    assert died.returncode == -9
    assert listed(engine) == []
    assert len(left_over(models)) == left
    model = bring(folder, models, engine)
    assert model.version == 1
    verify(model, models)
    for work in left_over(models):
        os.utime(work, (time() - 90_000,) * 2)
    bring(folder, models, engine)
    assert left_over(models) == []
