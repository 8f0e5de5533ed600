"""Versions are deployed, damaged and deleted while jobs wait for them and run on them."""

import json
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from jobs.database import transact
from jobs.errors import ModelInUse
from models_store import deletion, echo
from tests.chaos.arena import MOVING, SPEED, Arena
from tests.conditions import eventually


def deploy(arena: Arena, folder: Path, words: str) -> str:
    """Imports the echo model under one name; other words, other version."""
    folder.mkdir(exist_ok=True)
    echo.write_folder(folder)
    (folder / "README.md").write_text(words)
    told = arena.stack.command("models_store", "import", str(folder), "--name", MOVING, "--json")
    return str(json.loads(told)["id"])


def told(arena: Arena, id: str) -> dict[str, Any]:
    job = arena.client.get(id)
    assert job is not None
    return job


def test_what_is_queued_and_running_is_not_moved_by_a_new_version(
    arena: Arena, rng: random.Random, tmp_path: Path
) -> None:
    one = deploy(arena, tmp_path / "a", "one")
    with arena.workers("worker.one", LMAAS_MODEL=one):
        old = [arena.client.submit("l" * 2 * SPEED, model=MOVING) for _ in range(8)]
        eventually(lambda: {UUID(id) for id in old} <= arena.running(), within_s=10)
        old += arena.submit(rng, 8, longest=50, model=MOVING)
        two = deploy(arena, tmp_path / "b", "two")
        assert one != two
        new: list[str] = []

        def is_named() -> bool:  # a web process may know the old meaning for a second
            new.append(arena.client.submit("n" * 10, model=MOVING))
            return bool(told(arena, new[-1])["model"] == two)

        eventually(is_named, within_s=10)
        assert {told(arena, id)["model"] for id in old} == {one}
        with arena.workers("worker.two", LMAAS_MODEL=two):
            arena.succeed([*old, *new])
    assert {told(arena, id)["model"] for id in old} == {one}


def test_a_damaged_version_is_named_and_its_jobs_wait_until_it_is_whole(
    arena: Arena, rng: random.Random, tmp_path: Path
) -> None:
    version = deploy(arena, tmp_path / "c", "three")
    ids = arena.submit(rng, 4, longest=20, model=version)
    name, _, number = version.partition("@")
    damaged = arena.stack.folder / "store" / "models" / name / number / "README.md"
    damaged.write_text("not what was imported")
    worker = "worker.damaged"
    arena.stack.start(worker, LMAAS_MODEL=version, LMAAS_RESTART_PAUSE_S="0.2")
    try:
        eventually(lambda: arena.stack.log(worker).count("README.md") >= 2, within_s=20)
        assert {told(arena, id)["status"] for id in ids} == {"queued"}
        assert deploy(arena, tmp_path / "c", "three") == version
        arena.succeed(ids)
    finally:
        arena.stack.kill_all_of(worker)


def test_a_deleted_version_fails_what_waits_and_ends_what_runs(
    arena: Arena, rng: random.Random, tmp_path: Path
) -> None:
    before = deploy(arena, tmp_path / "d", "four")
    version = deploy(arena, tmp_path / "e", "five")
    with arena.workers("worker.doomed", LMAAS_MODEL=version, LMAAS_SLOTS="2"):
        running = [arena.client.submit("r" * 4 * SPEED, model=version) for _ in range(2)]
        eventually(lambda: {UUID(id) for id in running} <= arena.running(), within_s=10)
        waiting = arena.submit(rng, 6, longest=20, model=version)
        with pytest.raises(ModelInUse, match="jobs wait for"):
            transact(arena.engine, lambda connection: deletion.delete(connection, version))
        transact(
            arena.engine, lambda connection: deletion.delete(connection, version, end_jobs=True)
        )
        ended = [arena.client.ended(id) for id in waiting]
        assert {(job["status"], job["error"]["code"]) for job in ended} == {
            ("failed", "model_deleted")
        }
        arena.succeed(running)
    response = arena.client.try_submit("x", model=version)
    assert response is not None
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    with arena.workers("worker.back", LMAAS_MODEL=before):
        again = arena.client.submit("back", model=MOVING)
        assert arena.client.result(again) == "back"
        assert told(arena, again)["model"] == before
