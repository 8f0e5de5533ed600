"""Files: a row means readable bytes, and bytes without a row are swept."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from files_store import catalog
from files_store.catalog import StoredFile, file_id, file_name
from files_store.contents import Contents, open_contents
from jobs.settings import Settings
from tests.integration.job_samples import a_tenant, value


@pytest.fixture(params=["folder", "memory://tests"])
def contents(settings: Settings, request: pytest.FixtureRequest) -> Contents:
    url = "" if request.param == "folder" else request.param
    return open_contents(settings.model_copy(update={"files": url}))


@pytest.fixture
def tenant_id(engine: Engine) -> UUID:
    return a_tenant(engine)


def put(
    engine: Engine, contents: Contents, tenant_id: UUID, *data: bytes, **more: Any
) -> StoredFile:
    fields: dict[str, Any] = {
        "purpose": "batch", "filename": "a.jsonl", "expires_after_s": None, "most_bytes": 1000,
    } | more  # fmt: skip
    return catalog.create(engine, contents, tenant_id=tenant_id, source=data, **fields)


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
