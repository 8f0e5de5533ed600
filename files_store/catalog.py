"""Which files there are: made, found, listed, erased; always within one tenant."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from files_store import loose
from files_store.contents import Contents
from files_store.drafts import Draft, draft
from files_store.loose import content_key
from files_store.stored_file import StoredFile, file_id, file_name, unknown
from jobs.content_errors import FileGone, FileLost
from jobs.database import run, transact
from jobs.envelopes import Idempotency
from jobs.failpoints import reach
from jobs.idempotency import claim
from jobs.ids import new_id

__all__ = [
    "Page", "StoredFile", "create", "delete", "file_id", "file_name", "get", "keep",
    "list_files", "read",
]  # fmt: skip

MOST_LISTED = 1_000

_COLUMNS = (
    """id, tenant_id, content_id, purpose, filename, size_bytes, sha256, created_at, expires_at"""
)
_LIVE = "erased_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())"

_KEEP = text("""
INSERT INTO files (id, tenant_id, content_id, purpose, filename, size_bytes, sha256, expires_at)
VALUES (:id, :tenant_id, :content_id, :purpose,   :filename, :size_bytes, :sha256,
        clock_timestamp() + make_interval(secs => CAST(:expires_after_s AS float8)))
ON CONFLICT (id) DO NOTHING RETURNING id
""")

_GET = text(f"""
SELECT {_COLUMNS}, {_LIVE} AS is_live FROM files WHERE id = :id AND tenant_id = :tenant_id
""")  # noqa: S608 - only constants are joined

_LIST = f"""
SELECT {_COLUMNS} FROM files WHERE tenant_id = :tenant_id AND {_LIVE}
  AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose)
  AND (CAST(:after AS uuid) IS NULL OR id {{than}} :after)
ORDER BY id {{order}} LIMIT :limit
"""  # noqa: S608 - only constants are joined
_NEWEST_FIRST = text(_LIST.format(than="<", order="DESC"))
_OLDEST_FIRST = text(_LIST.format(than=">", order="ASC"))

# Also of a file that was erased since: whoever deletes what a page shows reads on.
_KNOWN = text("SELECT FROM files WHERE id = :id AND tenant_id = :tenant_id")

# What a client wrote goes: the bytes, their sum, the name. The tombstone stays.
ERASE = """
), erased AS (
  UPDATE files SET erased_at = clock_timestamp(), filename = '', sha256 = NULL
  FROM chosen WHERE files.id = chosen.id AND erased_at IS NULL
  RETURNING files.id, files.tenant_id, files.content_id
), unnamed AS (
  UPDATE uploads SET filename = '' FROM erased WHERE uploads.file_id = erased.id
), doomed AS (
  INSERT INTO loose_contents (id, tenant_id, doomed)
  SELECT content_id, tenant_id, true FROM erased ON CONFLICT (id) DO NOTHING
)
SELECT tenant_id, content_id FROM erased
"""

_DELETE = text(f"""
WITH chosen AS (
  SELECT id FROM files WHERE id = :id AND tenant_id = :tenant_id
{ERASE}""")  # noqa: S608 - only constants are joined


@dataclass(frozen=True, slots=True)
class Page:
    """Files of a list; `more` come after the last of them."""

    files: list[StoredFile]
    more: bool


def create(  # noqa: PLR0913  the fields of a file
    engine: Engine,
    contents: Contents,
    *,
    tenant_id: UUID,
    purpose: str,
    filename: str,
    source: Iterable[bytes],
    expires_after_s: float | None,
    most_bytes: int,
    id: UUID | None = None,
) -> StoredFile:
    """Writes a file, piece by piece, and then its row; a kill in between leaves no file.

    With the `id` of a file that this tenant has, that file: nothing is written, so
    whoever repeats work under a fixed id makes one file of it. Raises `FileTooLarge`,
    `StorageFull`, `StorageUnavailable`, and `FileGone` for an id that was erased.
    """
    if id is not None and (known := _find(engine, tenant_id, id)) is not None:
        return known
    with draft(engine, contents, tenant_id, most_bytes) as made:
        for piece in source:
            made.write(piece)
        made.close()
        return keep(
            engine, made, tenant_id=tenant_id, purpose=purpose, filename=filename,
            expires_after_s=expires_after_s, id=id,
        )  # fmt: skip


def keep(
    engine: Engine,
    made: Draft,
    *,
    tenant_id: UUID,
    purpose: str,
    filename: str,
    expires_after_s: float | None,
    id: UUID | None = None,
    key: Idempotency | None = None,
) -> StoredFile:
    """Makes a closed draft a file, within its block; or finds the file of the same key."""
    wanted = id or new_id()

    def work(connection: Connection) -> UUID:
        owner = wanted if key is None else claim(connection, tenant_id, key, wanted)
        if owner == wanted:
            insert(
                connection, made, id=wanted, tenant_id=tenant_id, purpose=purpose,
                filename=filename, expires_after_s=expires_after_s,
            )  # fmt: skip
        return owner

    reach("files.keeping")
    kept_id = transact(engine, work)
    reach("files.kept")
    return get(engine, tenant_id, kept_id)


def insert(connection: Connection, made: Draft, **fields: Any) -> None:
    """The same within the caller's transaction, with an id. Nothing happens if the id
    is taken: the transaction was committed before, or another writer was first; then
    that file stands and these bytes stay loose."""
    values = {
        **fields,
        "content_id": made.content_id,
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
    }
    if connection.execute(_KEEP, values).first() is not None:
        loose.adopt(connection, made.content_id)


def get(engine: Engine, tenant_id: UUID, file_id: UUID) -> StoredFile:
    """A file of a tenant. Raises `UnknownFile` (somebody else's too) or `FileGone`."""
    found = _find(engine, tenant_id, file_id)
    if found is None:
        raise unknown(file_name(file_id))
    return found


def _find(engine: Engine, tenant_id: UUID, file_id: UUID) -> StoredFile | None:
    rows = run(engine, _GET, {"id": file_id, "tenant_id": tenant_id})
    if not rows:
        return None
    *fields, is_live = rows[0]
    if not is_live:
        raise FileGone(f"file {file_name(file_id)!r} was deleted or has expired", param="file_id")
    return StoredFile(*fields)


def list_files(
    engine: Engine,
    tenant_id: UUID,
    *,
    after: UUID | None = None,
    limit: int = MOST_LISTED,
    newest_first: bool = True,
    purpose: str | None = None,
) -> Page:
    """A tenant's files by age, those that come after the file `after`; at most
    `MOST_LISTED` of them, however large the limit is. Raises `UnknownFile` for one that
    the tenant never had."""
    if after is not None and not run(engine, _KNOWN, {"id": after, "tenant_id": tenant_id}):
        raise unknown(file_name(after))
    most = min(limit, MOST_LISTED)
    values = {"tenant_id": tenant_id, "after": after, "purpose": purpose, "limit": most + 1}
    rows = run(engine, _NEWEST_FIRST if newest_first else _OLDEST_FIRST, values)
    return Page([StoredFile(*row) for row in rows[:most]], more=len(rows) > most)


def read(engine: Engine, contents: Contents, file: StoredFile) -> BinaryIO:
    """The bytes of a file from their start. Raises `FileGone` if it was erased since."""
    try:
        return contents.read(content_key(file.tenant_id, file.content_id))
    except FileLost:
        get(engine, file.tenant_id, file.id)
        raise


def delete(engine: Engine, contents: Contents, tenant_id: UUID, file_id: UUID) -> None:
    """Erases a file. Raises `UnknownFile`, or `FileGone` if that was done before."""
    get(engine, tenant_id, file_id)
    erased = run(engine, _DELETE, {"id": file_id, "tenant_id": tenant_id})
    loose.take_away(engine, contents, erased)
