"""What a client's text means: names, versions, aliases."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Engine

from jobs.database import transact
from jobs.errors import ModelRefused, UnknownModel
from models_store import aliases, catalog
from models_store.catalog import ModelVersion
from models_store.importer import import_folder
from tests.unit.model_store_files import write_lm


class Store:
    """A Model Store whose versions differ in their README."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine

    def bring(self, name: str, readme: str, also: Sequence[str] = ()) -> ModelVersion:
        source = write_lm(self.folder / "sources" / f"{name}-{readme}")
        (source / "README.md").write_text(readme, encoding="utf-8")
        return import_folder(
            source,
            name=name,
            models_folder=self.folder / "models",
            engine=self.engine,
            aliases=also,
        )

    def resolve(self, text: str) -> str:
        return transact(self.engine, lambda c: catalog.resolve(c, text)).reference

    def move(self, alias: str, target: str) -> str:
        return transact(self.engine, lambda c: aliases.move(c, alias, target)).reference

    def aliases(self) -> dict[str, tuple[str, ...]]:
        found = transact(self.engine, catalog.list_models)
        return {model.reference: model.aliases for model in found}


@pytest.fixture
def store(tmp_path: Path, engine: Engine) -> Store:
    return Store(tmp_path, engine)


def test_a_name_means_its_newest_version_and_a_reference_stays(store: Store) -> None:
    store.bring("m", "one", ["default"])
    assert [store.resolve(text) for text in ("m", "m@1", "default")] == ["m@1"] * 3
    store.bring("m", "two")
    assert [store.resolve(text) for text in ("m", "m@1", "default")] == ["m@2", "m@1", "m@2"]
    assert store.aliases() == {"m@2": ("default",), "m@1": ()}


def test_an_alias_can_be_pinned_moved_and_set_free(store: Store) -> None:
    store.bring("m", "one", ["b", "a"])
    store.bring("m", "two")
    store.bring("n", "one")
    assert store.move("a", "m@1") == "m@1"
    assert store.aliases() == {"m@2": ("b",), "m@1": ("a",), "n@1": ()}
    store.bring("m", "three", ["a"])
    assert store.resolve("a") == "m@1"
    assert store.move("a", "m") == "m@3"
    assert store.move("a", "n") == "n@1"
    assert store.move("new", "b") == "m@3"
    assert store.aliases()["m@3"] == ("b", "new")


@pytest.mark.parametrize(
    "text",
    ["", "x", "m@2", "m@0", "m@01", "a@1", "M", "m ", "m\0", "m@", "\ud800", "m'--", "x" * 9999],
)
def test_what_names_nothing_is_unknown_and_said_so(text: str, store: Store) -> None:
    store.bring("m", "one", ["a"])
    with pytest.raises(UnknownModel, match="there is no model, version or alias") as unknown:
        store.resolve(text)
    assert unknown.value.param == "model"
    assert len(unknown.value.message) < 800


def test_names_and_aliases_never_mean_two_things(store: Store) -> None:
    store.bring("m", "one", ["a"])
    store.bring("n", "one")
    with pytest.raises(ModelRefused, match="'a' is an alias of the model 'm' already"):
        store.bring("a", "one")
    with pytest.raises(ModelRefused, match="'n' is the name of a model"):
        store.bring("m", "two", ["n"])
    with pytest.raises(ModelRefused, match="'n' is the name of a model"):
        store.move("n", "m")
    with pytest.raises(ModelRefused, match="belongs to the model 'm'; move it on purpose"):
        store.bring("n", "two", ["a"])
    with pytest.raises(UnknownModel):
        store.move("b", "nothing")
    with pytest.raises(ModelRefused, match="cannot name an alias"):
        store.move("B", "m")
    assert store.aliases() == {"m@1": ("a",), "n@1": ()}


def test_a_name_and_an_alias_made_at_once_never_both_win(store: Store) -> None:
    store.bring("m", "one")
    for number in range(6):
        name = f"x{number}"
        start = Barrier(2)

        def as_name(name: str = name, start: Barrier = start) -> bool:
            return wins(store, start, name, ())

        def as_alias(name: str = name, start: Barrier = start) -> bool:
            return wins(store, start, "m", (name,))

        with ThreadPoolExecutor(2) as threads:
            results = [threads.submit(as_name), threads.submit(as_alias)]
            assert [result.result() for result in results].count(True) == 1


def wins(store: Store, start: Barrier, name: str, also: Sequence[str]) -> bool:
    start.wait(30)
    try:
        store.bring(name, "one", also)
    except ModelRefused:
        return False
    return True
