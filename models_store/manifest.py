"""The list of a version's files with their sha256: what the version *is*.

Canonical JSON (sorted keys, no spaces, ASCII), so that its own sha256 names
the content and nothing else: not the model's name, not a time, not a path.
"""

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ModelCorrupt, ModelRefused
from models_store import json_files

FILE_NAME = "manifest.json"
_FORMAT = 1
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a version."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version's files by name."""

    files: Mapping[str, Entry]

    @property
    def content(self) -> bytes:
        """The manifest as it is written and hashed."""
        files = {
            name: {"sha256": entry.sha256, "size_bytes": entry.size_bytes}
            for name, entry in self.files.items()
        }
        text = json.dumps(
            {"files": files, "format": _FORMAT}, sort_keys=True, separators=(",", ":")
        )
        return text.encode("ascii")

    @property
    def sha256(self) -> str:
        """What identifies the version's content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def size_bytes(self) -> int:
        """All files together, the manifest left out."""
        return sum(entry.size_bytes for entry in self.files.values())


def of_files(folder: Path, names: Iterable[str]) -> Manifest:
    """Hashes the named files as they lie in `folder`."""
    return Manifest({name: _entry(folder / name) for name in sorted(names)})


def has_manifest(folder: Path, sha256: str) -> bool:
    """Whether a folder says that it holds the files of the manifest `sha256`."""
    path = folder / FILE_NAME
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def verify_folder(folder: Path, *, sha256: str, reference: str) -> None:
    """Proves that a folder holds exactly the files of the manifest `sha256`.

    Raises `ModelCorrupt` naming the first file that is missing, changed or
    not one of the version's.
    """

    def corrupt(file: str, wrong: str) -> ModelCorrupt:
        return ModelCorrupt(
            f"{file} of the model {reference} {wrong}; import the model's original files again, "
            "that puts them back"
        )

    try:
        content = (folder / FILE_NAME).read_bytes()
    except OSError as error:
        raise corrupt(FILE_NAME, f"cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise corrupt(FILE_NAME, "is not the one that was imported")
    expected = _read(content).files
    for name in sorted(_names(folder) - {FILE_NAME, *expected}):
        raise corrupt(name, "was not imported with it")
    for name, entry in expected.items():
        path = folder / name
        try:
            is_regular = stat.S_ISREG(path.lstat().st_mode)
            same = is_regular and path.stat().st_size == entry.size_bytes and _entry(path) == entry
        except OSError as error:
            raise corrupt(name, f"cannot be read ({error.strerror})") from error
        if not same:
            raise corrupt(name, "is not the one that was imported")


def _names(folder: Path) -> set[str]:
    """All that lies in a folder and in its folders, by relative path."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _read(content: bytes) -> Manifest:
    # Only called on bytes whose sha256 is known, so the shape is ours.
    try:
        value = json_files.parse(content[:_MAX_BYTES], where=FILE_NAME)
    except ModelRefused as error:
        raise ModelCorrupt(error.message) from error
    files = value["files"] if isinstance(value, dict) else {}
    return Manifest({name: Entry(**entry) for name, entry in files.items()})


def _entry(path: Path) -> Entry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Entry(sha256=digest.hexdigest(), size_bytes=file.tell())
