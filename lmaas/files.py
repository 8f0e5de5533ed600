"""Files on the server, seen from outside: brought and fetched piece by piece."""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lmaas.errors import BadUsage
from lmaas.reading import answer, read_list
from lmaas.transport import Transport

# The server writes and syncs what it got before it answers.
_UPLOAD_S = 600.0
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class File:
    """A file of the tenant that the client's key belongs to."""

    id: str
    filename: str
    purpose: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime | None


class Files:
    """What `lmaas.Client.files` does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        purpose: str = "batch",
        filename: str | None = None,
        expires_after_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> File:
        """Brings a file, from a path or an open one that can be read again. `purpose`
        is batch, user_data, evals or fine-tune; it lives an hour to 30 days, or until
        it is deleted. Sent again with the same key it is the same file."""
        with _opened(source) as file:
            name = filename or Path(str(getattr(file, "name", "") or "file")).name
            fields = {"purpose": purpose}
            if expires_after_s is not None:
                fields |= {"expires_after[anchor]": "created_at",
                           "expires_after[seconds]": str(expires_after_s)}  # fmt: skip
            return read_file(
                self._transport.request(
                    "POST", "/v1/files", form={"data": fields, "files": {"file": (name, file)}},
                    headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4())},
                    read_timeout_s=_UPLOAD_S,
                )
            )  # fmt: skip

    def ls(self, *, purpose: str | None = None) -> Iterator[File]:
        """All files, newest first, page by page."""
        query: dict[str, str | int] = {"limit": _PAGE}
        if purpose is not None:
            query["purpose"] = purpose
        while True:
            body = self._transport.request("GET", "/v1/files", query=query)
            yield from read_list(body, read_file)
            if not body.get("has_more"):
                return
            query["after"] = str(body["last_id"])

    def info(self, file_id: str) -> File:
        """What is known of a file."""
        return read_file(self._transport.request("GET", f"/v1/files/{_id(file_id)}"))

    def get(self, file_id: str, target: str | os.PathLike[str] | IO[bytes]) -> int:
        """Writes a file's bytes to a path or an open file; how many. A path gets its
        name when all of them are there, so half a file never has it."""
        if not isinstance(target, str | os.PathLike):
            return self._copy(file_id, target)
        path = Path(target)
        half = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with half.open("wb") as file:
                count = self._copy(file_id, file)
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        return count

    def rm(self, file_id: str) -> None:
        """Erases a file."""
        self._transport.request("DELETE", f"/v1/files/{_id(file_id)}")

    def _copy(self, file_id: str, target: IO[bytes]) -> int:
        with self._transport.stream(f"/v1/files/{_id(file_id)}/content") as pieces:
            return sum(target.write(piece) for piece in pieces)


@contextmanager
def _opened(source: str | os.PathLike[str] | IO[bytes]) -> Iterator[IO[bytes]]:
    if not isinstance(source, str | os.PathLike):
        yield source
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise BadUsage(f"{os.fspath(source)} cannot be read: {error.strerror}") from error
    with file:
        yield file


@answer
def read_file(body: Mapping[str, Any]) -> File:
    """A file from the server's JSON."""
    ends = body.get("expires_at")
    return File(
        id=body["id"],
        filename=body["filename"],
        purpose=body["purpose"],
        size_bytes=int(body["bytes"]),
        created_at=datetime.fromtimestamp(body["created_at"], UTC),
        expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
    )


def _id(text: str) -> str:
    """An id that is safe inside a path."""
    if not text or not all(character.isalnum() or character in "-_" for character in text):
        raise BadUsage(f"{text!r} is not an id of a file")
    return text
