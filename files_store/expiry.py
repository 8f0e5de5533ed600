"""Files whose time is over: by their own word, or by their tenant's."""

from sqlalchemy import Engine, text

from files_store import loose
from files_store.catalog import ERASE
from files_store.contents import Contents
from jobs.database import run

_MOST = 100

_EXPIRED = text(f"""
WITH chosen AS MATERIALIZED (
  SELECT id FROM files WHERE erased_at IS NULL AND expires_at <= clock_timestamp()
  ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED
{ERASE}""")  # noqa: S608 - only constants are joined

# Each tenant's oldest by index; then locked in id order.
_UNWANTED = text(f"""
WITH chosen AS MATERIALIZED (
  SELECT id FROM files WHERE erased_at IS NULL AND id = ANY(ARRAY(
    SELECT old.id FROM tenants t CROSS JOIN LATERAL (
      SELECT f.id FROM files f WHERE f.tenant_id = t.id AND f.erased_at IS NULL
        AND f.created_at < clock_timestamp() - make_interval(secs => t.retain_files_s)
      ORDER BY f.created_at LIMIT :most) old
    WHERE t.retain_files_s IS NOT NULL LIMIT :most))
  ORDER BY id FOR UPDATE SKIP LOCKED
{ERASE}""")  # noqa: S608 - only constants are joined


def expire(engine: Engine, contents: Contents) -> bool:
    """Erases such files, a bounded piece of them; True if more may wait. Safe in
    several processes at once."""
    more = False
    for statement in (_EXPIRED, _UNWANTED):
        erased = run(engine, statement, {"most": _MOST})
        loose.take_away(engine, contents, erased)
        more = more or len(erased) >= _MOST
    return more
