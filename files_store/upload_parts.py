"""The parts of an upload, and the file that they make.

A part's id is that of its bytes: loose ones that the part's row adopts.
"""

import hashlib
from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from files_store import catalog, loose, uploads
from files_store.contents import Contents
from files_store.drafts import Draft, draft
from files_store.loose import content_key
from files_store.stored_file import StoredFile
from files_store.uploads import Upload
from jobs.content_errors import UploadEnded
from jobs.database import run, transact
from jobs.errors import InvalidRequest
from jobs.ids import new_id

MOST_PART_BYTES = 64 * 1024 * 1024
MOST_PARTS = 10_000
_PIECE_BYTES = 1 << 18

_WEIGH = text("""
SELECT count(*) AS parts, coalesce(sum(size_bytes), 0) AS size_bytes
FROM upload_parts WHERE upload_id = :id
""")

_ADD = text("""
INSERT INTO upload_parts (id, upload_id, size_bytes) VALUES (:part_id, :id, :size_bytes)
ON CONFLICT (id) DO NOTHING RETURNING id
""")

_PARTS = text("SELECT id, size_bytes FROM upload_parts WHERE upload_id = :id")


def add_part(engine: Engine, upload: Upload, made: Draft) -> UUID:
    """Makes a closed draft a part, within the draft's block; its id. Raises
    `UploadEnded`, or `InvalidRequest` for more than the upload can mean."""
    values = {"id": upload.id, "part_id": made.content_id, "size_bytes": made.size_bytes}

    def work(connection: Connection) -> None:
        held = uploads.hold(connection, upload.tenant_id, upload.id)
        if not held.is_open:
            raise UploadEnded("this upload has ended and takes no more parts; begin a new one")
        there = connection.execute(_WEIGH, values).one()
        # Twice: a client that repeats a part whose answer was lost does no wrong.
        total = there.size_bytes + made.size_bytes
        if there.parts >= MOST_PARTS or total > 2 * held.size_bytes:
            raise InvalidRequest("the parts are more than this upload said it has", param="data")
        if connection.execute(_ADD, values).first() is not None:
            loose.adopt(connection, made.content_id)

    transact(engine, work)
    return made.content_id


def complete(
    engine: Engine, contents: Contents, upload: Upload, part_ids: Sequence[UUID], md5: str | None
) -> StoredFile:
    """The file that the parts make in this order; of an upload that was completed
    before, its file. Raises `UploadEnded`, or `InvalidRequest` for parts that are
    others, or have another size or checksum, than was said."""
    if upload.file_id is not None:
        return catalog.get(engine, upload.tenant_id, upload.file_id)
    if upload.state != "pending":
        raise UploadEnded(f"this upload is {upload.state}; begin a new one")
    _check(engine, upload, part_ids)
    checksum = hashlib.md5(usedforsecurity=False)
    id = new_id()
    with draft(engine, contents, upload.tenant_id, upload.size_bytes) as made:
        for piece in _pieces(contents, upload.tenant_id, part_ids):
            checksum.update(piece)
            made.write(piece)
        if md5 is not None and md5.lower() != checksum.hexdigest():
            raise InvalidRequest("the parts do not have this checksum", param="md5")
        made.close()
        uploads.end(
            engine, contents, upload, "completed", file_id=id,
            beside=lambda connection: catalog.insert(
                connection, made, id=id, tenant_id=upload.tenant_id, purpose=upload.purpose,
                filename=upload.filename, expires_after_s=upload.expires_after_s,
            ),
        )  # fmt: skip
    return catalog.get(engine, upload.tenant_id, id)


def _check(engine: Engine, upload: Upload, part_ids: Sequence[UUID]) -> None:
    sizes = {row.id: row.size_bytes for row in run(engine, _PARTS, {"id": upload.id})}
    if len(set(part_ids)) != len(part_ids) or not sizes.keys() >= set(part_ids):
        raise InvalidRequest("these are not parts of this upload, each once", param="part_ids")
    total = sum(sizes[part_id] for part_id in part_ids)
    if total != upload.size_bytes:
        raise InvalidRequest(
            f"the parts have {total:,} bytes, the upload said {upload.size_bytes:,}",
            param="part_ids",
        )


def _pieces(contents: Contents, tenant_id: UUID, part_ids: Sequence[UUID]) -> Iterator[bytes]:
    for part_id in part_ids:
        with contents.read(content_key(tenant_id, part_id)) as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
