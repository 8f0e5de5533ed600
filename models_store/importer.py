"""Bringing a folder into the Model Store, all of it or nothing.

The files are copied into a work folder, made durable and checked there, moved
into place by one rename, and become visible when the catalog's row commits.
An import that dies at any point leaves nothing that a reader can see.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import sqlalchemy
from sqlalchemy import Connection

from jobs import audit
from jobs.audit import Actor, Change, Scalar
from jobs.database import transact
from jobs.errors import ModelCorrupt, ModelRefused
from models_store import aliases as alias_names
from models_store import catalog, checks, deletion, folders, manifest, trial
from models_store.catalog import Facts, ModelVersion
from models_store.names import check_aliases, check_name


def import_folder(
    folder: Path,
    *,
    name: str,
    models_folder: Path,
    engine: sqlalchemy.Engine,
    aliases: Iterable[str] = (),
    by: Actor | None = None,
) -> ModelVersion:
    """Makes `folder` the next version of `name`; the aliases follow its newest.

    The same files again answer the version that they already are, and put its
    files back if they were damaged or deleted. Safe several times at once. `by` stands
    in the audit log, None for an operator. Raises
    `ModelRefused` or `UnsupportedModel` with the file, what is wrong with it
    and what to do; nothing is changed then.
    """
    check_name(name)
    others = check_aliases(aliases, name=name)
    transact(engine, lambda connection: alias_names.check_free(connection, name, others))
    files = checks.list_files(folder)
    folders.remove_abandoned(models_folder)
    digest = manifest.of_files(folder, files).sha256
    known = transact(engine, lambda connection: catalog.find_content(connection, name, digest))
    if known is not None and not known.deleted_at and _is_sound(known, models_folder):
        return transact(engine, lambda connection: _enter(connection, known, others))
    with _work_folder(models_folder) as work:
        _copy(folder, work, files)
        facts = _check(work, files)
        place = _Place(work, models_folder, damaged=None if known is None else known.version)
        return transact(
            engine, lambda connection: _publish(connection, place, name, facts, others, by)
        )


def verify(version: ModelVersion, models_folder: Path) -> None:
    """Hashes a version's files again, as a worker does before it loads them.

    Raises `ModelCorrupt` naming the file that is not the imported one.
    """
    manifest.verify_folder(
        folders.version_folder(models_folder, version.name, version.version),
        sha256=version.sha256,
        reference=version.reference,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """A finished work folder, and the version whose files it must replace."""

    work: Path
    models_folder: Path
    damaged: int | None

    def put(self, target: Path) -> None:
        # Gone already if the transaction is run a second time.
        if self.work.exists():
            folders.publish(self.work, target)


def _is_sound(version: ModelVersion, models_folder: Path) -> bool:
    try:
        verify(version, models_folder)
    except ModelCorrupt:
        return False
    return True


@contextmanager
def _work_folder(models_folder: Path) -> Iterator[Path]:
    work = folders.new_work_folder(models_folder)
    try:
        yield work
    except OSError as error:
        raise ModelRefused(
            f"the model cannot be copied into the Model Store at {models_folder}: "
            f"{error.strerror or error}; nothing was imported"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy(source: Path, work: Path, files: Mapping[str, int]) -> None:
    for name in files:
        # The name was checked a moment ago; a link that took its place since
        # is not followed.
        (work / name).parent.mkdir(exist_ok=True)
        with os.fdopen(_open(source, name), "rb") as reader, (work / name).open("xb") as writer:
            shutil.copyfileobj(reader, writer, 4 << 20)
            writer.flush()
            os.fsync(writer.fileno())


def _open(source: Path, name: str) -> int:
    # `source` itself may be a link: whoever named it meant it. Nothing below may.
    *inner, last = PurePosixPath(name).parts
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in inner:
            outer = folder
            folder = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=outer)
            os.close(outer)
        return os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check(work: Path, files: Mapping[str, int]) -> Facts:
    """Checks the copy, writes its manifest and makes it durable."""
    config = checks.check_content(work, files)
    chats = trial.try_out(work)
    listed = manifest.of_files(work, files)
    _write(work / manifest.FILE_NAME, listed.content)
    for parent in {(work / name).parent for name in files} | {work}:
        folders.sync_folder(parent)
    return Facts(
        engine=config.engine,
        tasks=config.tasks(chats=chats),
        context_length=config.context_length,
        sha256=listed.sha256,
        size_bytes=listed.size_bytes,
    )


def _publish(
    connection: Connection, place: _Place, name: str, facts: Facts, aliases: Sequence[str],
    by: Actor | None,
) -> ModelVersion:  # fmt: skip
    """Gives the work folder its number and its place, and makes it visible."""
    catalog.lock_names(connection, [name, *aliases])
    model = catalog.find_content(connection, name, facts.sha256)
    if model is None:
        number = _free_number(connection, place.models_folder, name, facts.sha256)
        place.put(folders.version_folder(place.models_folder, name, number))
        model = catalog.register(connection, name, number, facts)
        details: dict[str, Scalar] = {"sha256": facts.sha256, "size_bytes": facts.size_bytes}
        audit.record(connection, by, Change("model.import", model.reference, details))
    elif model.version == place.damaged:
        place.put(folders.version_folder(place.models_folder, name, model.version))
        if model.deleted_at is not None:
            audit.record(connection, by, Change("model.import", model.reference))
        deletion.take_back(connection, model)
    return _enter(connection, model, aliases)


def _free_number(connection: Connection, models_folder: Path, name: str, sha256: str) -> int:
    """The next number whose folder is free, or holds these very files.

    A folder without a row was left by an import that died before its commit,
    or belongs to another database: other content is never touched.
    """
    number = catalog.next_version(connection, name)
    while True:
        folder = folders.version_folder(models_folder, name, number)
        if not folder.exists() or manifest.has_manifest(folder, sha256):
            return number
        number += 1


def _enter(connection: Connection, model: ModelVersion, aliases: Sequence[str]) -> ModelVersion:
    catalog.lock_names(connection, [model.name, *aliases])
    alias_names.check_free(connection, model.name, aliases)
    alias_names.add(connection, model.name, aliases)
    return catalog.resolve(connection, model.reference)
