"""Bytes on shared storage, under one root that every process reaches.

Nothing is visible before it is whole: a local file is written beside the others,
synced and renamed; elsewhere the bytes are committed at the end, as that storage
does it (S3: a multipart upload). Keys are made by the server alone.
"""

import errno
import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from jobs.content_errors import FileLost, StorageFull, StorageUnavailable
from jobs.errors import BadSettings, LmaasError
from jobs.failpoints import reach
from jobs.settings import Settings

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_WRITING = ".writing"
# What storages raise beside OSError when they do not answer.
_STORAGES_OWN = ("botocore.exceptions:BotoCoreError", "aiohttp:ClientError")


class Sink(Protocol):
    """Bytes on their way. One of `commit` and `discard` ends it."""

    def write(self, data: bytes, /) -> int:
        """Takes all of them. Raises `StorageFull` or `StorageUnavailable`."""

    def commit(self) -> None:
        """Makes them durable, and visible under their key. Raises the same."""

    def discard(self) -> None:
        """Leaves nothing of them behind, as far as the storage lets it."""


class Contents(Protocol):
    """A root and what lies under it; usable from several threads at once."""

    def begin(self, key: str) -> Sink:
        """Starts to write. Raises `StorageFull` or `StorageUnavailable`."""

    def write(self, key: str) -> AbstractContextManager[Sink]:
        """The same, committed at the end of the block, discarded by any error in it."""

    def read(self, key: str) -> BinaryIO:
        """The bytes from their start. Raises `FileLost` if there are none."""

    def delete(self, key: str) -> None:
        """Takes them away, half-written ones too; nothing happens if there are none."""


def open_contents(settings: Settings) -> Contents:
    """The storage of LMAAS_FILES. Raises `BadSettings` for a URL that nothing
    installed here can read."""
    try:
        storage, root = fsspec.url_to_fs(settings.files_url)
    except (ValueError, ImportError) as error:
        raise BadSettings(f"LMAAS_FILES is not usable: {error}") from error
    if isinstance(storage, LocalFileSystem):
        return _Local(Path(root))
    return _Remote(storage, root.rstrip("/"))


class _Base(ABC):
    @abstractmethod
    def begin(self, key: str) -> Sink: ...

    @contextmanager
    def write(self, key: str) -> Iterator[Sink]:
        sink = self.begin(key)
        done = False
        try:
            yield sink
            sink.commit()
            done = True
        finally:
            if not done:
                sink.discard()


class _Local(_Base):
    def __init__(self, root: Path) -> None:
        self._root = root
        self._writing = root / _WRITING

    def begin(self, key: str) -> Sink:
        return _LocalSink(self._root / key, self._writing / Path(key).name)

    def read(self, key: str) -> BinaryIO:
        with _named():
            return (self._root / key).open("rb")

    def delete(self, key: str) -> None:
        with _named():
            (self._writing / Path(key).name).unlink(missing_ok=True)
            (self._root / key).unlink(missing_ok=True)


class _LocalSink:
    def __init__(self, path: Path, half: Path) -> None:
        self._path, self._half = path, half
        with _named():
            half.parent.mkdir(parents=True, exist_ok=True)
            self._file = half.open("xb", buffering=1 << 18)

    def write(self, data: bytes, /) -> int:
        with _named():
            return self._file.write(data)

    def commit(self) -> None:
        with _named():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._make_folder()
            reach("files.renaming")
            self._half.rename(self._path)
            _sync(self._path.parent)

    def _make_folder(self) -> None:
        folder = self._path.parent
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            _sync(folder.parent)

    def discard(self) -> None:
        with suppress(OSError):  # a full disk is met again by what is still buffered
            self._file.close()
        with suppress(OSError):
            self._half.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Remote(_Base):
    def __init__(self, storage: Any, root: str) -> None:
        self._storage, self._root = storage, root

    def begin(self, key: str) -> Sink:
        return _RemoteSink(self._storage, f"{self._root}/{key}")

    def read(self, key: str) -> BinaryIO:
        with _named():
            return cast("BinaryIO", self._storage.open(f"{self._root}/{key}", "rb"))

    def delete(self, key: str) -> None:
        with _named(), suppress(FileNotFoundError):
            self._storage.rm_file(f"{self._root}/{key}")


class _RemoteSink:
    def __init__(self, storage: Any, path: str) -> None:
        with _named():
            storage.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._file = storage.open(path, "wb", autocommit=False)

    def write(self, data: bytes, /) -> int:
        with _named():
            return int(self._file.write(data))

    def commit(self) -> None:
        with _named():
            self._file.close()
            self._file.commit()

    def discard(self) -> None:
        with suppress(OSError, *_own_errors()):
            self._file.discard()


@contextmanager
def _named() -> Iterator[None]:
    """Gives what a storage says a name of ours. Neither path nor bucket is told."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileLost("the bytes of this file are not on the storage") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                "the storage for files is full; delete files, or ask for more room"
            ) from error
        raise _unavailable(error) from error
    except _own_errors() as error:
        raise _unavailable(error) from error


def _unavailable(error: BaseException) -> LmaasError:
    return StorageUnavailable(
        f"the storage for files does not answer ({type(error).__name__}); try again"
    )


def _own_errors() -> tuple[type[Exception], ...]:
    found = []
    for name in _STORAGES_OWN:
        module, _, kind = name.partition(":")
        with suppress(ImportError):
            found.append(cast("type[Exception]", getattr(importlib.import_module(module), kind)))
    return tuple(found)
