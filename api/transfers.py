"""Uploads and downloads: a bounded number at once, each with a bounded patience.

A body in parts goes from the socket to the storage piece by piece; no more of it is
ever in memory than a buffer, however large the file.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import IO, Any, cast

from flask import Request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from files_store.drafts import Draft
from jobs.content_errors import FileTooLarge, TooManyTransfers
from jobs.errors import InvalidRequest
from jobs.settings import Settings

# Beside the file: a form's other fields, its headers and boundaries.
_FORM_BYTES = 256 * 1024
_FORM_PARTS = 32
PIECE_BYTES = 64 * 1024
# A client that neither sends nor takes anything for so long has left.
_PATIENCE_S = 60.0
# How much of a body is still read after it was refused.
_DISCARD_BYTES = 64 * 1024 * 1024
_DISCARD_S = 10.0


class Transfers:
    """The room for uploads and downloads in one web process."""

    def __init__(self, settings: Settings) -> None:
        self._room = BoundedSemaphore(settings.max_transfers)

    @contextmanager
    def one(self, environ: Mapping[str, Any]) -> Iterator[None]:
        """Takes a place for the time of the block, in which the client's socket has a
        time limit. Raises `TooManyTransfers`."""
        if not self._room.acquire(blocking=False):
            raise TooManyTransfers("too many files are on their way here; try again soon")
        try:
            with _patience(environ.get("gunicorn.socket")):
                yield
        finally:
            self._room.release()


@contextmanager
def _patience(socket: Any) -> Iterator[None]:
    """Sockets of gunicorn wait for ever; there is none in tests without a server."""
    if socket is None:
        yield
        return
    try:
        socket.settimeout(_PATIENCE_S)
        yield
    finally:
        with suppress(OSError):  # closed meanwhile
            socket.settimeout(None)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, and the name that its file has there."""

    fields: dict[str, str]
    filename: str


def receive(request: Request, file_field: str, made: Draft, most_bytes: int) -> Form:
    """Reads a form of multipart/form-data; the bytes of its file go into the draft.

    Raises `InvalidRequest` for what is no such form, lacks the file, has two, or is cut
    off, and `FileTooLarge`.
    """
    is_speaking = True
    try:
        form = _parse(request, file_field, made, most_bytes)
        is_speaking = False
    except ClientDisconnected as error:  # or silent for longer than our patience
        is_speaking = False
        raise InvalidRequest("the form is cut off, or was silent for too long") from error
    finally:
        if is_speaking:
            _discard(request)
    return form


def _parse(request: Request, file_field: str, made: Draft, most_bytes: int) -> Form:
    boundary = _boundary(request, most_bytes)
    request.max_content_length = most_bytes + _FORM_BYTES
    parser = MultiPartParser(
        _OneFile(made),
        max_form_memory_size=_FORM_BYTES,
        max_form_parts=_FORM_PARTS,
        buffer_size=PIECE_BYTES,
    )
    try:
        fields, files = parser.parse(request.stream, boundary, request.content_length)
    except ValueError as error:
        raise InvalidRequest("the form is cut off, or not multipart/form-data") from error
    except RequestEntityTooLarge as error:
        raise InvalidRequest("the form has too many fields, or too long ones") from error
    if list(files) != [file_field]:
        raise InvalidRequest(f"the form needs one file, in the field {file_field!r}",
                             param=file_field)  # fmt: skip
    repeated = next((name for name in fields if len(fields.getlist(name)) > 1), None)
    if repeated is not None:
        raise InvalidRequest(f"{repeated[:64]!r} is given twice", param=repeated[:64])
    return Form(fields.to_dict(), files[file_field].filename or "")


def _discard(request: Request) -> None:
    """Reads on for a while. Who is refused while he still speaks would not hear why: the
    server closes a connection with much that is unread, and that resets it."""
    until, left = time.monotonic() + _DISCARD_S, _DISCARD_BYTES
    socket: Any = request.environ.get("gunicorn.socket")
    with suppress(HTTPException, OSError):
        request.max_content_length = max(left, request.content_length or 0)
        while left > 0 and (left_s := until - time.monotonic()) > 0:
            if socket is not None:  # for a transfer it would wait much longer
                socket.settimeout(left_s)
            piece = request.stream.read(PIECE_BYTES)
            if not piece:
                return
            left -= len(piece)


def _boundary(request: Request, most_bytes: int) -> bytes:
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary or not boundary.isascii():
        raise InvalidRequest("the body must be a form: multipart/form-data with a boundary")
    if (request.content_length or 0) > most_bytes + _FORM_BYTES:
        raise FileTooLarge(f"more than {most_bytes:,} bytes are not taken", param="file")
    return boundary.encode()


class _OneFile:
    """Where the parser writes a file's bytes to, for one file of a form."""

    def __init__(self, made: Draft) -> None:
        self._into = _Into(made)
        self._is_taken = False

    def __call__(self, *_: object, **__: object) -> IO[bytes]:
        if self._is_taken:
            raise InvalidRequest("the form has two files; send one at a time")
        self._is_taken = True
        return cast("IO[bytes]", self._into)


class _Into:
    """What the parser needs of a file to write to it."""

    def __init__(self, made: Draft) -> None:
        self.write = made.write

    def seek(self, _: int) -> int:
        """The parser rewinds what it wrote; nobody reads it here."""
        return 0
