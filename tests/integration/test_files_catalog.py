"""Files: a row means readable bytes, and bytes without a row are swept."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from files_store import catalog, expiry, loose
from files_store.catalog import StoredFile, file_id, file_name
from files_store.contents import Contents, open_contents
from files_store.loose import content_key
from jobs import failpoints
from jobs.content_errors import (
    FileGone,
    FileLost,
    FileTooLarge,
    StorageFull,
    StorageUnavailable,
    UnknownFile,
)
from jobs.database import open_engine
from jobs.errors import BadSettings
from jobs.failpoints import FailpointError
from jobs.ids import new_id
from jobs.settings import Settings
from tests.integration.job_samples import a_tenant, at_once, rows, value


@pytest.fixture(scope="module")
def given(module_database_url: str, redis_url: str) -> Settings:
    return Settings.model_validate({"DATABASE_URL": module_database_url, "REDIS_URL": redis_url})


@pytest.fixture
def settings(given: Settings, tmp_path: Path) -> Settings:
    return given.model_copy(update={"files": str(tmp_path / "files")})


@pytest.fixture(scope="module")
def engine(given: Settings) -> Iterator[Engine]:
    opened = open_engine(given, application="tests", connections=10)
    yield opened
    opened.dispose()


@pytest.fixture
def tenant_id(engine: Engine) -> UUID:
    return a_tenant(engine, f"tenant {new_id()}")


@pytest.fixture
def folder(settings: Settings) -> Contents:
    return open_contents(settings)


@pytest.fixture(params=["folder", "memory"])
def contents(settings: Settings, request: pytest.FixtureRequest) -> Contents:
    """A folder, and an object storage of this process."""
    if request.param == "folder":
        return open_contents(settings)
    return open_contents(settings.model_copy(update={"files": f"memory://{new_id().hex}"}))


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def put(engine: Engine, contents: Contents, tenant: UUID, *data: bytes, **more: Any) -> StoredFile:
    fields: dict[str, Any] = {
        "purpose": "batch", "filename": "a.jsonl", "expires_after_s": None, "most_bytes": 1000,
        "source": data,
    }  # fmt: skip
    return catalog.create(engine, contents, tenant_id=tenant, **(fields | more))


def loose_lines(engine: Engine) -> int:
    return int(value(engine, "SELECT count(*) FROM loose_contents"))


def bytes_of(engine: Engine, contents: Contents, file: StoredFile) -> bytes:
    with catalog.read(engine, contents, file) as stream:
        return stream.read()


def test_a_file_is_what_was_written(engine: Engine, contents: Contents, tenant_id: UUID) -> None:
    made = put(engine, contents, tenant_id, b"one\n", b"", b"two\n", filename='ü"\n.jsonl')
    assert catalog.get(engine, tenant_id, made.id) == made
    assert (made.size_bytes, made.filename, made.purpose) == (8, 'ü"\n.jsonl', "batch")
    assert bytes_of(engine, contents, made) == b"one\ntwo\n"
    assert file_id(file_name(made.id)) == made.id
    assert loose_lines(engine) == 0


def test_an_erased_file_is_gone_and_somebody_elses_never_was(
    engine: Engine, contents: Contents, tenant_id: UUID
) -> None:
    made = put(engine, contents, tenant_id, b"x")
    with pytest.raises(UnknownFile):
        catalog.delete(engine, contents, a_tenant(engine, "other"), made.id)
    catalog.delete(engine, contents, tenant_id, made.id)
    for look in (
        lambda: catalog.get(engine, tenant_id, made.id),
        lambda: catalog.delete(engine, contents, tenant_id, made.id),
        lambda: catalog.read(engine, contents, made),
        lambda: put(engine, contents, tenant_id, b"y", id=made.id),
    ):
        with pytest.raises(FileGone):
            look()
    with pytest.raises(FileLost):
        contents.read(content_key(tenant_id, made.content_id))
    assert loose_lines(engine) == 0


def test_a_source_that_breaks_off_or_is_too_large_leaves_nothing(
    engine: Engine, contents: Contents, tenant_id: UUID
) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        put(engine, contents, tenant_id, source=breaks())
    with pytest.raises(FileTooLarge):
        put(engine, contents, tenant_id, b"x" * 600, b"x" * 600)
    assert catalog.list_files(engine, tenant_id).files == []
    assert loose_lines(engine) == 0


def test_work_that_is_repeated_under_one_id_makes_one_file(
    engine: Engine, contents: Contents, tenant_id: UUID
) -> None:
    id = new_id()
    made = at_once(*[
        lambda text=text: put(engine, contents, tenant_id, text, id=id)
        for text in (b"one", b"three", b"seven")
    ])  # fmt: skip
    assert made[0] == made[1] == made[2]
    assert len(bytes_of(engine, contents, made[0])) == made[0].size_bytes
    assert put(engine, contents, tenant_id, b"later", id=id) == made[0]
    loose.sweep(engine, contents, writing_s=0)
    assert loose_lines(engine) == 0
    assert len(bytes_of(engine, contents, made[0])) == made[0].size_bytes


def test_a_row_that_was_committed_without_our_knowing_keeps_its_bytes(
    engine: Engine, contents: Contents, tenant_id: UUID
) -> None:
    failpoints.arm("files.kept=error@1")
    with pytest.raises(FailpointError):
        put(engine, contents, tenant_id, b"x")
    [file] = catalog.list_files(engine, tenant_id).files
    loose.sweep(engine, contents, writing_s=0)
    assert bytes_of(engine, contents, file) == b"x"


def test_bytes_that_were_swept_meanwhile_become_no_file(
    engine: Engine, contents: Contents, tenant_id: UUID
) -> None:
    def slow() -> Iterator[bytes]:
        yield b"x"
        loose.sweep(engine, contents, writing_s=0)
        yield b"y"

    with pytest.raises((StorageUnavailable, FileLost)):
        put(engine, contents, tenant_id, source=slow())
    assert catalog.list_files(engine, tenant_id).files == []


def test_what_the_storage_does_not_delete_now_is_deleted_later(
    engine: Engine, folder: Contents, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(engine, folder, tenant_id, b"x")

    def away(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "the disk is sulking")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", away)
        catalog.delete(engine, folder, tenant_id, made.id)
        assert not loose.sweep(engine, folder)
    assert loose_lines(engine) == 1
    loose.sweep(engine, folder)
    assert loose_lines(engine) == 0
    with pytest.raises(FileLost):
        folder.read(content_key(tenant_id, made.content_id))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.rename", "pathlib.Path.mkdir"])
def test_a_disk_that_is_full_at_any_step_is_named_and_leaves_nothing(
    engine: Engine, folder: Contents, tenant_id: UUID, settings: Settings,
    monkeypatch: pytest.MonkeyPatch, step: str, number: int,
) -> None:  # fmt: skip
    def full(*_: object, **__: object) -> None:
        raise OSError(number, "full")

    with monkeypatch.context() as patched:
        patched.setattr(step, full)
        with pytest.raises(StorageFull):
            put(engine, folder, tenant_id, b"x")
    assert catalog.list_files(engine, tenant_id).files == []
    assert [path for path in Path(settings.files_url).rglob("*") if path.is_file()] == []
    assert loose_lines(engine) == 0


def test_only_what_has_expired_is_erased(
    engine: Engine, contents: Contents, tenant_id: UUID
) -> None:
    stays = put(engine, contents, tenant_id, b"x", expires_after_s=3600)
    goes = put(engine, contents, tenant_id, b"y", expires_after_s=3600)
    rows(engine, "UPDATE files SET expires_at = now() WHERE id = :id RETURNING 1", id=goes.id)
    with pytest.raises(FileGone):
        catalog.get(engine, tenant_id, goes.id)
    at_once(*[lambda: expiry.expire(engine, contents)] * 3)
    assert [file.id for file in catalog.list_files(engine, tenant_id).files] == [stays.id]
    assert loose_lines(engine) == 0
    with pytest.raises(FileLost):
        contents.read(content_key(tenant_id, goes.content_id))


def test_a_storage_that_nobody_can_speak_to_stops_the_start(settings: Settings) -> None:
    for url in ("nonsense://bucket", "s4://bucket"):
        with pytest.raises(BadSettings, match="LMAAS_FILES"):
            open_contents(settings.model_copy(update={"files": url}))
