"""A night with one job: no worker, a crash loop, loading, queued, paused, resumed, done.
Each time `lmaas explain` says so, over real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from jobs.database import open_engine
from jobs.settings import Settings
from tests.conditions import ROOT, eventually
from tests.integration.job_samples import value
from tests.invariants import check_all_ended, unfinished
from tests.stack import Stack

Lmaas = Callable[..., str]
# The proof of an engine is a completion of "hello", and so is every job here.
POISON = "hello"


@pytest.fixture
def stack(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("walk"),
        database_url=database_url,
        redis_url=redis_url,
        LMAAS_DEVICE="cpu",
        LMAAS_SLOTS="1",
        LMAAS_RESTART_PAUSE_S="0.05",
        LMAAS_ECHO_TOKENS_PER_S="2",
    )
    started.command("models_store", "echo")
    yield started
    started.close()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings, application="tests")
    yield engine
    engine.dispose()


@pytest.fixture
def lmaas(stack: Stack) -> Lmaas:
    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lmaas.cli", *words],
            cwd=ROOT,
            env=os.environ | {"LMAAS_URL": str(stack.http.base_url), "LMAAS_API_KEY": stack.key},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run


def test_a_job_is_explained_from_no_worker_to_done(
    stack: Stack, engine: Engine, lmaas: Lmaas
) -> None:
    def explain(id: str) -> dict[str, Any]:
        told: dict[str, Any] = stack.http.get(f"/v1/jobs/{id}/explain").json()
        return told

    def codes(id: str) -> list[str]:
        return [reason["code"] for reason in explain(id)["reasons"]]

    def deaths() -> int:
        return int(value(engine, "SELECT count(*) FROM workers WHERE died"))

    def becomes(id: str, *wanted: str) -> None:
        """Over HTTP until it is so, then what the command line prints of it."""
        eventually(lambda: codes(id) == list(wanted), what=f"{wanted}")
        assert f"({wanted[0]})" in lmaas("explain", id)

    stack.start("web", "dispatcher")
    stack.ready(workers=0)
    first = lmaas("submit", "-m", "echo", "--max-tokens", "10", "hello" * 2)
    becomes(first, "no_worker")
    assert "no worker hosts echo@1 (no_worker)" in lmaas("explain", first)
    assert "not known (no_worker)" in lmaas("explain", first)

    stack.start("worker.sick", LMAAS_ECHO_POISON=POISON)
    eventually(lambda: deaths() >= 4, within_s=60, what="four deaths")
    assert "(worker_crash_loop)" in lmaas("explain", first)
    # Two died with the job in hand; the others died of their own proof, before they took it.
    assert value(engine, "SELECT crashes FROM jobs") == 2
    assert value(engine, "SELECT state FROM jobs") == "queued"
    assert "crash loop" in lmaas("status")
    assert 'lmaas_crash_loop{model="echo@1"} 1.0' in stack.http.get("/metrics").text
    stack.stop("worker.sick")

    stack.start("worker")  # its proof takes a second, as slow as it is
    becomes(first, "worker_crash_loop", "model_loading")
    becomes(first, "running")
    # Longer than all that is asked while it runs, on a slow machine too; then it is cancelled.
    second = lmaas("submit", "-m", "echo", "--max-tokens", "200", "hello" * 40)
    assert json.loads(lmaas("wait", "--json", first))["status"] == "succeeded"
    eventually(lambda: codes(second) == ["running"])
    third = lmaas("submit", "-m", "echo", "--max-tokens", "1", "hello")
    becomes(third, "slots_busy", "worker_crash_loop")
    assert explain(third)["start"]["expected"] is not None

    assert lmaas("models", "pause", "echo", "--reason", "new disks") == "echo@1 is paused"
    becomes(third, "paused", "slots_busy", "worker_crash_loop")
    assert "new disks" in lmaas("explain", third)
    assert "paused: new disks" in lmaas("status")
    lmaas("cancel", second)
    eventually(lambda: codes(second) == ["cancelled"])
    assert json.loads(lmaas("get", "--json", third, "--wait", "1"))["status"] == "queued"
    assert lmaas("models", "resume", "echo") == "echo@1 goes on"
    assert json.loads(lmaas("wait", "--json", third))["status"] == "succeeded"
    assert codes(third) == ["succeeded"]
    assert "it succeeded at" in lmaas("explain", third)
    eventually(lambda: unfinished(engine) == 0)
    check_all_ended(engine)
