"""Lines on their way to a batch: its file, on a disk first and then in one upload that
may be sent again, and what is appended to it in pieces."""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from lmaas.errors import BadUsage
from lmaas.files import Files
from lmaas.line_ends import json_line
from lmaas.transport import Transport

_PIECE_BYTES = 1 << 20
_MOST_APPENDED_BYTES, _MOST_APPENDED = 900_000, 1_000


def upload(
    transport: Transport,
    source: str | Path | BinaryIO | Iterable[Mapping[str, Any]],
    endpoint: str,
    key: str,
) -> str:
    """Uploads a file or lines; the id of the file that a batch may name."""
    if hasattr(source, "read"):
        return send(transport, cast(BinaryIO, source), "lines.jsonl", key)
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise BadUsage(f"there is no file {path}")
        with path.open("rb") as file:
            return send(transport, file, path.name, key)
    with spooled(requests(source, endpoint)) as (file, _):
        return send(transport, file, "lines.jsonl", key)


def requests(lines: Iterable[Mapping[str, Any]], endpoint: str) -> Iterator[Mapping[str, Any]]:
    """Lines as the server reads them: method and url may be left to us."""
    for line in lines:
        yield {"method": "POST", "url": endpoint, **line}


def pieces(lines: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Bodies of JSON lines, each as large as the server takes."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        text = json_line(line).encode() + b"\n"
        if piece and (size + len(text) > _MOST_APPENDED_BYTES or len(piece) >= _MOST_APPENDED):
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(text)
        size += len(text)
    if piece:
        yield b"".join(piece)


@contextmanager
def spooled(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[BinaryIO, str]]:
    """The lines in a temporary file, at its beginning, and the sha256 of all of them."""
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as file:
        for line in lines:
            text = json_line(line).encode() + b"\n"
            digest.update(text)
            file.write(text)
        file.seek(0)
        yield file, digest.hexdigest()


def digest_of(file: BinaryIO) -> str:
    """The sha256 of an open file, which stands at its beginning again afterwards."""
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()


def send(transport: Transport, file: BinaryIO, name: str, key: str) -> str:
    """Sends an open file; the same key means the same file, however often it is sent."""
    made = Files(transport).put(file, filename=name, idempotency_key=f"{key}-file")
    return made.id
