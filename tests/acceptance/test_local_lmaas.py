"""`lmaas` with everything real: what a person does first, and a stop in mid-work."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conditions import ROOT, eventually

Lmaas = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def lmaas(state: Path) -> Iterator[Lmaas]:
    foreign = ("DATABASE_URL", "REDIS_URL")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in foreign and not name.startswith("LMAAS_")
    }

    def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lmaas.cli", *words],
            cwd=ROOT,
            env={**kept, "LMAAS_STATE": str(state), **settings},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    yield run
    run("down")


def test_the_demo_answers_sixteen_prompts_and_leaves_nothing_running(
    lmaas: Lmaas, state: Path, smollm2_folder: Path
) -> None:
    (state / "convert").mkdir()
    (state / "convert" / "smollm2").symlink_to(smollm2_folder)
    done = lmaas("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 of 16 answers" in done.stdout
    assert "tokens/s" in done.stdout
    assert "\x1b" not in done.stdout
    assert lmaas("down").stdout.strip() == "nothing runs here"


def test_down_in_mid_work_loses_nothing(lmaas: Lmaas) -> None:
    slow = {"LMAAS_ECHO_TOKENS_PER_S": "4", "LMAAS_DRAIN_S": "1"}
    up = lmaas("up", "--model", "echo", "--no-flower", **slow)
    assert up.returncode == 0, up.stderr
    words = ("submit", "--max-tokens", "200", "one two three four five six " * 20)
    ids = [lmaas(*words).stdout.strip() for _ in range(3)]
    eventually(lambda: lmaas("ls", "--status", "running").stdout.count("\n") == 3)
    assert lmaas("down").returncode == 0
    assert lmaas("up", "--model", "echo", "--no-flower").returncode == 0
    done = lmaas("wait", "--json", *ids, "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(lmaas("ls", "--status", "succeeded", "--json").stdout)) == 3
