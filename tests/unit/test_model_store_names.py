"""Names, references, manifests and folders: small rules, exactly."""

import json
import os
from pathlib import Path
from time import time

import pytest

from jobs.errors import ModelCorrupt, ModelRefused
from models_store import folders, manifest
from models_store.names import check_aliases, check_name, parse_reference


@pytest.mark.parametrize("name", ["a", "0", "smollm2-135m-instruct", "a.b_c-d", "x" * 63])
def test_good_names(name: str) -> None:
    assert check_name(name) == name
    assert parse_reference(name) == (name, None)
    assert parse_reference(f"{name}@12") == (name, 12)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        ".a",
        "-a",
        "_a",
        "a@1",
        "a/b",
        "..",
        "../a",
        "a b",
        "ä",
        "a\n",
        "a\0",
        "x" * 64,
        "٣",
    ],
)
def test_bad_names_are_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ModelRefused, match="use 1 to 63 lower-case letters"):
        check_name(name)
    with pytest.raises(ModelRefused, match="cannot name an alias"):
        check_aliases([name], name="model")


@pytest.mark.parametrize(
    "text", ["a@", "a@0", "a@01", "a@-1", "a@1.0", "a@1e3", "a@1@2", "a@9999999999", "a@ 1", "@1"]
)
def test_texts_that_name_no_version(text: str) -> None:
    assert parse_reference(text) is None


def test_aliases_are_sorted_single_and_not_the_name_itself() -> None:
    assert check_aliases(["b", "a", "b"], name="m") == ("a", "b")
    with pytest.raises(ModelRefused, match="own name"):
        check_aliases(["m"], name="m")


def write_version(folder: Path) -> str:
    (folder / "b.txt").write_text("two", encoding="utf-8")
    (folder / "a.txt").write_text("one", encoding="utf-8")
    listed = manifest.of_files(folder, ["b.txt", "a.txt"])
    (folder / manifest.FILE_NAME).write_bytes(listed.content)
    return listed.sha256


def test_the_manifest_is_canonical(tmp_path: Path) -> None:
    write_version(tmp_path)
    content = manifest.of_files(tmp_path, ["b.txt", "a.txt"]).content
    assert content == manifest.of_files(tmp_path, ["a.txt", "b.txt"]).content
    assert content == (
        b'{"files":{'
        b'"a.txt":{"sha256":"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",'
        b'"size_bytes":3},'
        b'"b.txt":{"sha256":"3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",'
        b'"size_bytes":3}},"format":1}'
    )
    assert list(json.loads(content)) == ["files", "format"]


def test_the_files_of_the_manifest_verify(tmp_path: Path) -> None:
    manifest.verify_folder(tmp_path, sha256=write_version(tmp_path), reference="m@1")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "a.txt").write_text("On3", encoding="utf-8"), r"a\.txt .* is not the one"),
        (lambda f: (f / "a.txt").write_text("", encoding="utf-8"), r"a\.txt .* is not the one"),
        (lambda f: (f / "b.txt").unlink(), r"b\.txt .* cannot be read \(No such file"),
        (lambda f: (f / "extra.py").touch(), r"extra\.py .* was not imported with it"),
        (lambda f: (f / manifest.FILE_NAME).write_bytes(b"{}"), r"manifest\.json .* not the one"),
        (lambda f: (f / manifest.FILE_NAME).unlink(), r"manifest\.json .* cannot be read"),
    ],
)
def test_a_changed_version_is_corrupt_and_the_file_is_named(
    break_it: object, message: str, tmp_path: Path
) -> None:
    sha256 = write_version(tmp_path)
    assert callable(break_it)
    break_it(tmp_path)
    with pytest.raises(ModelCorrupt, match=message):
        manifest.verify_folder(tmp_path, sha256=sha256, reference="m@1")


def test_a_link_to_equal_content_is_corrupt(tmp_path: Path) -> None:
    folder = tmp_path / "version"
    folder.mkdir()
    sha256 = write_version(folder)
    (folder / "a.txt").rename(tmp_path / "a.txt")
    (folder / "a.txt").symlink_to(tmp_path / "a.txt")
    with pytest.raises(ModelCorrupt, match=r"a\.txt"):
        manifest.verify_folder(folder, sha256=sha256, reference="m@1")


def test_work_folders_of_yesterday_are_removed_and_todays_are_not(tmp_path: Path) -> None:
    old, new = folders.new_work_folder(tmp_path), folders.new_work_folder(tmp_path)
    (old / "half").write_text("a model", encoding="utf-8")
    (tmp_path / "model").mkdir()
    for folder in (old, tmp_path / "model"):
        os.utime(folder, (time() - 90_000,) * 2)
    assert folders.remove_abandoned(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted([new, tmp_path / "model"])


def test_an_import_that_ends_while_work_folders_are_looked_at_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, ending = folders.new_work_folder(tmp_path), folders.new_work_folder(tmp_path)
    os.utime(old, (time() - 90_000,) * 2)

    def listed(_: Path, pattern: str) -> list[Path]:
        found = [path for path in tmp_path.iterdir() if path.match(pattern)]
        if ending.exists():
            folders.publish(ending, folders.version_folder(tmp_path, "m", 1))
        return found

    monkeypatch.setattr(Path, "glob", listed)
    assert folders.remove_abandoned(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_publishing_replaces_what_stood_there(tmp_path: Path) -> None:
    target = folders.version_folder(tmp_path, "m", 1)
    for content in ("damaged", "good"):
        work = folders.new_work_folder(tmp_path)
        (work / "file").write_text(content, encoding="utf-8")
        folders.publish(work, target)
    assert (target / "file").read_text(encoding="utf-8") == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
