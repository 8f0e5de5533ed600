"""Importing: what becomes a version, what is refused, what comes back."""

import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

from jobs.database import transact
from jobs.errors import ModelCorrupt, ModelRefused, UnsupportedModel
from models_store import catalog, echo
from models_store.catalog import ModelVersion
from models_store.folders import version_folder
from models_store.importer import import_folder, verify
from models_store.prompt import renderer
from tests.unit.model_store_files import write_json, write_lm, write_sharded


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


def test_an_imported_folder_is_a_version_with_its_facts(
    folder: Path, models: Path, engine: Engine
) -> None:
    model = bring(folder, models, engine)
    assert (model.reference, model.queue) == ("m@1", "model.m.1")
    assert (model.engine, model.tasks, model.context_length) == ("lm", ("generate", "chat"), 128)
    assert model.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert listed(engine) == [model]
    verify(model, models)
    assert renderer(model, models).has_chat_template
    stored = {path.name for path in version_folder(models, "m", 1).iterdir()}
    assert stored == {path.name for path in folder.iterdir()} | {"manifest.json"}
    assert left_over(models) == []


def test_sharded_and_echo_models_take_the_same_road(
    tmp_path: Path, models: Path, engine: Engine
) -> None:
    bring(write_sharded(tmp_path / "sharded"), models, engine, "big")
    (tmp_path / "echo").mkdir()
    echo.write_folder(tmp_path / "echo")
    model = bring(tmp_path / "echo", models, engine, "echo")
    assert (model.engine, model.tasks, model.context_length) == (
        "echo",
        ("generate", "chat", "embed"),
        8192,
    )
    assert [model.name for model in listed(engine)] == ["big", "echo"]


def test_a_model_without_a_template_only_generates(
    folder: Path, models: Path, engine: Engine
) -> None:
    (folder / "chat_template.jinja").unlink()
    assert bring(folder, models, engine).tasks == ("generate",)


def test_the_same_files_again_are_the_same_version(
    folder: Path, models: Path, engine: Engine
) -> None:
    first = bring(folder, models, engine)
    os.utime(folder / "config.json", (1, 1))
    assert bring(folder, models, engine) == first
    (folder / "README.md").write_text("changed", encoding="utf-8")
    assert bring(folder, models, engine).version == 2
    assert bring(folder, models, engine, "other").reference == "other@1"
    assert len(listed(engine)) == 3


def test_a_refused_folder_leaves_nothing(folder: Path, models: Path, engine: Engine) -> None:
    write_json(folder / "config.json", {"model_type": "mamba"})
    with pytest.raises(UnsupportedModel, match="'mamba' has no engine here"):
        bring(folder, models, engine)
    (folder / "weights.bin").touch()
    with pytest.raises(ModelRefused, match="never loaded"):
        bring(folder, models, engine)
    assert listed(engine) == []
    assert left_over(models) == []


@pytest.mark.parametrize("template", ["{{ raise_exception('never') }}", "{{ '<|end|>' }}"])
def test_a_model_that_cannot_read_hello_is_refused(
    template: str, folder: Path, models: Path, engine: Engine
) -> None:
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    write_json(
        folder / "config.json",
        {"model_type": "llama", "vocab_size": 256, "max_position_embeddings": 9},
    )
    with pytest.raises(ModelRefused, match="fails on the message 'Hello'"):
        bring(folder, models, engine)


def test_damaged_and_lost_files_come_back_with_the_same_import(
    folder: Path, models: Path, engine: Engine
) -> None:
    model = bring(folder, models, engine)
    stored = version_folder(models, "m", 1)
    weights = stored / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelCorrupt, match=r"model\.safetensors of the model m@1"):
        verify(model, models)
    assert bring(folder, models, engine) == model
    verify(model, models)
    shutil.rmtree(stored)
    assert bring(folder, models, engine) == model
    verify(model, models)
    assert left_over(models) == []


def test_a_folder_of_another_database_is_never_touched(
    folder: Path, models: Path, engine: Engine
) -> None:
    strange = version_folder(models, "m", 1)
    write_lm(strange)
    (strange / "manifest.json").write_text("{}", encoding="utf-8")
    assert bring(folder, models, engine).version == 2
    assert (strange / "manifest.json").read_text(encoding="utf-8") == "{}"


def test_a_folder_may_be_named_by_a_link(tmp_path: Path, engine: Engine) -> None:
    link = tmp_path / "link"
    link.symlink_to(write_lm(tmp_path / "tiny"))
    made = import_folder(link, name="tiny", models_folder=tmp_path / "models", engine=engine)
    assert made.reference == "tiny@1"
