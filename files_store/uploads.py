"""Uploads: files that come in parts. Here they begin and end; the parts are in
`files_store.upload_parts`.

The transaction that ends an upload dooms all its parts, and it holds the upload's
row first, so that no part comes to it meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from files_store import loose
from files_store.contents import Contents
from jobs.content_errors import UnknownUpload, UploadEnded
from jobs.database import run, transact
from jobs.ids import new_id

# What is not complete by then is gone.
LIFE_S = 3600.0
PREFIX = "upload_"
_MOST_ENDED = 20

_COLUMNS = """id, tenant_id, state, purpose, filename, mime_type, size_bytes, expires_after_s,
  created_at, expires_at, file_id"""

_OPEN = text(f"""
INSERT INTO uploads (id, tenant_id, purpose, filename, mime_type, size_bytes, expires_after_s,
                     expires_at)
VALUES (:id, :tenant_id, :purpose, :filename, :mime_type, :size_bytes, :expires_after_s,
        clock_timestamp() + make_interval(secs => :life_s))
ON CONFLICT (id) DO UPDATE SET id = excluded.id RETURNING {_COLUMNS}
""")  # noqa: S608 - only constants are joined

_GET = text(f"""
SELECT {_COLUMNS} FROM uploads WHERE id = :id AND tenant_id = :tenant_id
""")  # noqa: S608 - only constants are joined

_HOLD = text("""
SELECT size_bytes, state, file_id, state = 'pending' AND expires_at > clock_timestamp() AS is_open
FROM uploads WHERE id = :id AND tenant_id = :tenant_id FOR UPDATE
""")

_LATE = text("""
SELECT id, tenant_id FROM uploads WHERE state = 'pending' AND expires_at <= clock_timestamp()
ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
""")

_END = text("""
WITH ended AS (
  UPDATE uploads SET state = :state, file_id = :file_id
  WHERE id = :id AND tenant_id = :tenant_id AND state = 'pending' RETURNING id, tenant_id
), gone AS (
  DELETE FROM upload_parts p USING ended WHERE p.upload_id = ended.id
  RETURNING p.id, ended.tenant_id
)
INSERT INTO loose_contents (id, tenant_id, doomed) SELECT id, tenant_id, true FROM gone
RETURNING tenant_id, id
""")

# A day after: its answer was read by then, and its name is a client's text.
_FORGET = text("""
DELETE FROM uploads WHERE id IN (
  SELECT id FROM uploads
  WHERE state <> 'pending' AND expires_at < clock_timestamp() - interval '24 hours' LIMIT 1000)
RETURNING 1
""")


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it stood; `file_id` once it was complete. `expires_after_s` is the file's."""

    id: UUID
    tenant_id: UUID
    state: str
    purpose: str
    filename: str
    mime_type: str
    size_bytes: int
    expires_after_s: int | None
    created_at: datetime
    expires_at: datetime
    file_id: UUID | None


def upload_name(id: UUID) -> str:
    """`upload_<hex>`, the form of its id on the wire."""
    return f"{PREFIX}{id.hex}"


def open_upload(engine: Engine, tenant_id: UUID, **fields: Any) -> Upload:
    """Begins one: purpose, filename, mime_type, size_bytes, expires_after_s."""
    values = {"id": new_id(), "tenant_id": tenant_id, "life_s": LIFE_S, **fields}
    return Upload(*run(engine, _OPEN, values)[0])


def get(engine: Engine, tenant_id: UUID, upload_id: UUID) -> Upload:
    """An upload of a tenant. Raises `UnknownUpload`."""
    rows = run(engine, _GET, {"id": upload_id, "tenant_id": tenant_id})
    if not rows:
        raise unknown(upload_name(upload_id))
    return Upload(*rows[0])


def hold(connection: Connection, tenant_id: UUID, upload_id: UUID) -> Any:
    """Its size_bytes, state, file_id and is_open, locked until the transaction ends."""
    held = connection.execute(_HOLD, {"id": upload_id, "tenant_id": tenant_id}).one_or_none()
    if held is None:
        raise unknown(upload_name(upload_id))
    return held


def end(
    engine: Engine,
    contents: Contents,
    upload: Upload,
    state: str,
    *,
    file_id: UUID | None = None,
    beside: Callable[[Connection], object] = lambda _: None,
) -> None:
    """Ends a held upload, with what `beside` does in the same transaction; nothing
    happens to one that ended so before. Raises `UploadEnded` if it ended otherwise."""

    def work(connection: Connection) -> list[tuple[UUID, UUID]]:
        held = hold(connection, upload.tenant_id, upload.id)
        if (held.state, held.file_id) == (state, file_id):
            return []
        if not held.is_open:
            raise UploadEnded(
                f"this upload is {'expired' if held.state == 'pending' else held.state}; "
                "begin a new one"
            )
        beside(connection)
        return _end(connection, upload.tenant_id, upload.id, state, file_id)

    loose.take_away(engine, contents, transact(engine, work))


def _end(
    connection: Connection, tenant_id: UUID, upload_id: UUID, state: str, file_id: UUID | None
) -> list[tuple[UUID, UUID]]:
    """The parts that are doomed by it, as (tenant, content)."""
    values = {"id": upload_id, "tenant_id": tenant_id, "state": state, "file_id": file_id}
    return [(row.tenant_id, row.id) for row in connection.execute(_END, values)]


def expire_uploads(engine: Engine, contents: Contents) -> bool:
    """Ends what was not completed in time and forgets what ended a day ago, a bounded
    piece of it; True if more may wait. Safe in several processes at once."""
    doomed: list[tuple[UUID, UUID]] = []

    def work(connection: Connection) -> int:
        doomed.clear()
        late = connection.execute(_LATE, {"most": _MOST_ENDED}).all()
        for row in late:
            doomed.extend(_end(connection, row.tenant_id, row.id, "expired", None))
        return len(late)

    ended = transact(engine, work)
    loose.take_away(engine, contents, doomed)
    run(engine, _FORGET, {})
    return ended >= _MOST_ENDED


def unknown(text: str) -> UnknownUpload:
    """The error that says so."""
    return UnknownUpload(f"there is no upload {text[:64]!r}", param="upload_id")
