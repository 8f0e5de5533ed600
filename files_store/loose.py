"""Bytes that no row speaks for: what is being written, and what is to be taken away.

A line in `loose_contents` comes before the bytes, and goes in the transaction that
makes a row speak for them. It comes back, doomed, in the transaction that erases the
row. So bytes are never forgotten, whoever dies between two steps, and no listing of
the storage is needed to find them.
"""

import logging
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from files_store.contents import Contents
from jobs.content_errors import StorageUnavailable
from jobs.database import run
from jobs.errors import DatabaseUnavailable

# A writing that takes longer is held to be dead, and cannot become a file any more.
WRITING_S = 3600.0
_MOST = 100

_ANNOUNCE = text("""
INSERT INTO loose_contents (id, tenant_id) VALUES (:id, :tenant_id)
ON CONFLICT (id) DO NOTHING RETURNING id
""")

_ADOPT = text("DELETE FROM loose_contents WHERE id = :id AND NOT doomed RETURNING id")

_DROP = text("UPDATE loose_contents SET doomed = true WHERE id = :id RETURNING id, tenant_id")

# Two looks, each by an index of its own.
_DUE = text("""
WITH erased AS MATERIALIZED (
  SELECT id FROM loose_contents WHERE doomed ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
), given_up AS MATERIALIZED (
  SELECT id FROM loose_contents
  WHERE NOT doomed AND since < clock_timestamp() - make_interval(secs => :writing_s)
  ORDER BY since LIMIT :most FOR UPDATE SKIP LOCKED
)
UPDATE loose_contents SET doomed = true
WHERE id IN (SELECT id FROM erased UNION ALL SELECT id FROM given_up) RETURNING id, tenant_id
""")

_FORGET = text("DELETE FROM loose_contents WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING id")

log = logging.getLogger(__name__)


def content_key(tenant_id: UUID, content_id: UUID) -> str:
    """Where bytes lie under the root: never a text of a client."""
    return f"{tenant_id.hex}/{content_id.hex}"


def announce(engine: Engine, tenant_id: UUID, content_id: UUID) -> None:
    """Before the first byte."""
    run(engine, _ANNOUNCE, {"id": content_id, "tenant_id": tenant_id})


def adopt(connection: Connection, content_id: UUID) -> None:
    """In the transaction whose row speaks for the bytes from now on. Raises
    `StorageUnavailable` if they were swept, or are about to be: that row must not be."""
    if connection.execute(_ADOPT, {"id": content_id}).first() is None:
        raise StorageUnavailable("the bytes took so long that they were given up; send them again")


def drop(engine: Engine, contents: Contents, content_id: UUID) -> None:
    """Gives up a writing. Bytes that a row speaks for by now are left alone, and
    what cannot be done now is left to the sweep: raises nothing."""
    try:
        found = run(engine, _DROP, {"id": content_id})
        take_away(engine, contents, ((row.tenant_id, row.id) for row in found))
    except DatabaseUnavailable as error:
        log.warning("bytes of %s stay for the sweep: %s", content_id, error.message)


def take_away(engine: Engine, contents: Contents, doomed: Iterable[tuple[UUID, UUID]]) -> int:
    """Deletes doomed bytes (tenant, content), then their lines; how many. What the
    storage does not delete now stays for the sweep."""
    gone = []
    for tenant_id, content_id in doomed:
        try:
            contents.delete(content_key(tenant_id, content_id))
            gone.append(content_id)
        except StorageUnavailable as error:
            log.warning("bytes of %s stay for the sweep: %s", content_id, error.message)
    if gone:
        run(engine, _FORGET, {"ids": gone})
    return len(gone)


def sweep(engine: Engine, contents: Contents, writing_s: float = WRITING_S) -> bool:
    """Takes away what is doomed and what was begun too long ago, a bounded piece
    of it; True if more may wait. Safe in several processes at once."""
    due = run(engine, _DUE, {"most": _MOST, "writing_s": writing_s})
    # A storage that is away is not asked again at once.
    return take_away(engine, contents, ((row.tenant_id, row.id) for row in due)) >= _MOST
