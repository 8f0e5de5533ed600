"""`python -m models_store` as a person and a program use it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.unit.model_store_files import write_lm

CHECKOUT = Path(__file__).resolve().parents[2]
Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, engine: Engine) -> Run:
    environment = {
        "DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "LMAAS_STORE": str(tmp_path / "store"),
    }

    def start(*words: object, **changes: str) -> Result:
        return subprocess.run(
            [sys.executable, "-m", "models_store", *map(str, words)],
            cwd=CHECKOUT,
            env={**environment, **changes},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start


def test_import_ls_and_alias(run: Run, tmp_path: Path) -> None:
    empty = run("ls")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "the Model Store is empty" in empty.stderr
    folder = write_lm(tmp_path / "tiny")
    made = run("import", folder, "--name", "tiny", "--alias", "t", "--alias", "u", "--json")
    assert (made.returncode, made.stderr) == (0, "")
    model = json.loads(made.stdout)
    assert model["id"] == "tiny@1"
    assert model["aliases"] == ["t", "u"]
    assert json.loads(run("ls", "--json").stdout) == [model]
    assert run("ls").stdout == "tiny@1 (t, u): lm, generate, chat, 128 tokens, 0.0 MB\n"
    assert run("alias", "v", "tiny@1").stdout.startswith("tiny@1 (t, u, v): ")


def test_echo_is_the_same_version_every_time(run: Run) -> None:
    first, second = run("echo", "--json"), run("echo", "--name", "echo", "--json")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["id"] == "echo@1"


def test_a_version_is_deleted_by_its_number(run: Run) -> None:
    run("echo")
    refused = run("rm", "echo")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "error: name the one version to delete, as in echo@1\n"
    done = run("rm", "echo@1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("echo@1 is deleted; stop the workers that host it")
    assert run("ls").stdout == ""
    assert "there is no model" in run("rm", "echo@1").stderr


def test_what_is_refused_is_one_sentence_and_status_1(run: Run, tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "tiny")
    for words, message in [
        (("import", folder, "--name", "A@1"), "'A@1' cannot name a model"),
        (("import", tmp_path / "no", "--name", "a"), "is no folder"),
        (("alias", "x", "nothing"), "there is no model, version or alias 'nothing'"),
    ]:
        result = run(*words)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_wrong_usage_is_status_2(run: Run) -> None:
    for words in [("import",), ("frobnicate",), ("import", "x"), ("ls", "--bad")]:
        assert run(*words).returncode == 2


def test_a_database_that_is_away_or_empty_is_said_in_a_sentence(run: Run, engine: Engine) -> None:
    away = run("ls", DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/none")
    assert away.returncode == 1
    assert away.stderr.startswith("error: Postgres does not answer")
    assert "secret" not in away.stderr
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE model_aliases, model_versions CASCADE"))
    bare = run("ls")
    assert bare.returncode == 1
    assert bare.stderr == "error: the database has no tables yet; run `python -m migrations`\n"


def test_neither_torch_nor_transformers_is_imported() -> None:
    code = (
        "import pkgutil, sys, importlib, models_store\n"
        "for m in pkgutil.iter_modules(models_store.__path__):\n"
        "    importlib.import_module(f'models_store.{m.name}')\n"
        "print(sorted({'torch', 'transformers', 'flask', 'celery', 'redis'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
