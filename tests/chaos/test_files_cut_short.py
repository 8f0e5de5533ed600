"""Files whose writing is cut short, by a full disk or by a death: all of one, or none of it."""

import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
from sqlalchemy import Engine

from files_store import loose
from files_store.contents import open_contents
from jobs.database import open_engine
from jobs.settings import Settings
from lmaas.local import ports
from tests.conditions import eventually
from tests.integration.job_samples import rows, value
from tests.stack import Stack

LARGE = b"x" * 3_000_000
# A front door each: where its process dies, and whether there is a file then.
DEATHS = {"files.renaming": False, "files.keeping": False, "files.kept": True}


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("cut"), database_url=module_database_url, redis_url=redis_url
    )
    started.start("web")
    yield started
    started.close()


@pytest.fixture(scope="module")
def doors(stack: Stack) -> Iterator[dict[str, httpx.Client]]:
    """By the point where their processes die; `web` does not."""
    urls = {"web": stack.port}
    for point in DEATHS:
        urls[point] = ports.choose()
        stack.start(f"web.{point}", LMAAS_FAILPOINTS=f"{point}=kill@1",
                    LMAAS_WEB_PORT=str(urls[point]))  # fmt: skip
    opened = {
        name: httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=stack.http.headers, timeout=60,
            trust_env=False,
        )
        for name, port in urls.items()
    }  # fmt: skip
    for door in opened.values():
        eventually(partial(answers, door), within_s=60, what="the front door")
    yield opened
    for door in opened.values():
        door.close()
    # The last to die is on its way up again, and would not hear SIGTERM yet.
    stack.kill_all_of(*(f"web.{point}" for point in DEATHS))


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    return Settings.model_validate(stack.environment | {"store": stack.environment["LMAAS_STORE"]})


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[Engine]:
    opened = open_engine(settings, application="tests")
    yield opened
    opened.dispose()


def answers(door: httpx.Client) -> bool:
    try:
        return door.get("/health/live").is_success
    except httpx.TransportError:
        return False


def bring(door: httpx.Client, data: bytes) -> httpx.Response:
    form: Any = {"file": ("a.jsonl", data)}
    return door.post("/v1/files", data={"purpose": "batch"}, files=form)


def on_the_storage(settings: Settings) -> set[str]:
    return {path.name for path in Path(settings.files_url).rglob("*") if path.is_file()}


def spoken_for(engine: Engine) -> set[str]:
    found = rows(engine, "SELECT content_id FROM files WHERE erased_at IS NULL")
    return {row.content_id.hex for row in found}


def test_a_full_disk_takes_no_part_of_a_file(
    stack: Stack, doors: dict[str, httpx.Client], settings: Settings, engine: Engine
) -> None:
    door = doors["web"]
    [process] = psutil.Process(stack.pid("web")).children()
    unbounded = process.rlimit(resource.RLIMIT_FSIZE)
    # More than its metrics, which are mapped files of a megabyte, may need meanwhile.
    process.rlimit(resource.RLIMIT_FSIZE, (2_000_000, unbounded[1]))
    response = bring(door, LARGE)
    assert response.status_code == 507
    assert response.json()["error"]["code"] == "storage_full"
    assert response.headers["x-should-retry"] == "false"
    assert door.get("/v1/files").json()["data"] == []
    assert on_the_storage(settings) == set()
    assert value(engine, "SELECT count(*) FROM loose_contents") == 0
    process.rlimit(resource.RLIMIT_FSIZE, unbounded)
    file = bring(door, LARGE).json()
    assert door.get(f"/v1/files/{file['id']}/content").content == LARGE
    assert door.delete(f"/v1/files/{file['id']}").is_success


def test_a_front_door_that_dies_leaves_a_whole_file_or_none(
    stack: Stack, doors: dict[str, httpx.Client], settings: Settings, engine: Engine
) -> None:
    contents = open_contents(settings)
    for point, is_kept in DEATHS.items():
        with pytest.raises(httpx.TransportError):
            bring(doors[point], LARGE)
        assert f"failpoint {point}: kill" in stack.log(f"web.{point}")
        assert len(spoken_for(engine)) == is_kept
        loose.sweep(engine, contents)
        assert len(on_the_storage(settings)) == 1  # it may still be on its way: for an hour
        loose.sweep(engine, contents, writing_s=0)
        assert on_the_storage(settings) == spoken_for(engine)
        assert value(engine, "SELECT count(*) FROM loose_contents") == 0
    [file] = doors["web"].get("/v1/files").json()["data"]
    assert doors["web"].get(f"/v1/files/{file['id']}/content").content == LARGE
