"""Bytes that are to become a file: written first, told of by a row after.

Each writing has a key of its own and stands in `loose_contents` from before its
first byte until a row speaks for it. Whoever dies in between leaves that line, by
which the bytes are found and swept.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Engine

from files_store import loose
from files_store.contents import Contents, Sink
from files_store.loose import content_key
from jobs.content_errors import FileTooLarge
from jobs.ids import new_id


class Draft:
    """Bytes in the making. `close` makes them durable; then a row may name them."""

    def __init__(self, sink: Sink, content_id: UUID, most_bytes: int) -> None:
        self.content_id = content_id
        self.size_bytes = 0
        self.sha256 = b""
        self._sink = sink
        self._most_bytes = most_bytes
        self._sum = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        """Takes all of them. Raises `FileTooLarge`, `StorageFull` or `StorageUnavailable`."""
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise FileTooLarge(
                f"the file is larger than {self._most_bytes:,} bytes; send it in pieces",
                param="file",
            )
        self._sum.update(data)
        return self._sink.write(data)

    def close(self) -> None:
        """Ends the writing: the bytes are whole and durable now."""
        self._sink.commit()
        self.sha256 = self._sum.digest()


@contextmanager
def draft(engine: Engine, contents: Contents, tenant_id: UUID, most_bytes: int) -> Iterator[Draft]:
    """Begins one; an error in the block leaves nothing of it."""
    content_id = new_id()
    loose.announce(engine, tenant_id, content_id)
    sink: Sink | None = None
    kept = False
    try:
        sink = contents.begin(content_key(tenant_id, content_id))
        yield Draft(sink, content_id, most_bytes)
        kept = True
    finally:
        if not kept:
            if sink is not None:
                sink.discard()
            loose.drop(engine, contents, content_id)
