"""Waiting lines brought in line with what their batch's owner wants; used by the Task
Manager alone."""

import json
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.outlook.estimates import GUESSED_TOKEN_S
from jobs.shares.statements import settled
from jobs.states import CLASS_OFFSET_S

_MOST = 2_000

# Of the released ones those stay that are to show which of them kills its worker.
_NOT_BEGUN = "state = 'queued' AND (released_at IS NULL OR suspect_group IS NULL)"

# One batch, a piece of its lines. What was let through, and no worker has begun, comes
# back and gives its charge back. In another class, or free again, a line comes anew:
# it has no claim on turns that others took meanwhile. `unsettled` goes when a look
# under the batch's lock finds none left; a verb that comes later sets it again.
_SETTLE = text(f"""
WITH batch AS MATERIALIZED (
  SELECT id, paused, priority FROM batches
  WHERE unsettled AND (CAST(:batch_id AS uuid) IS NULL OR id = :batch_id)
  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
), wanted AS MATERIALIZED (
  SELECT j.id FROM batch b CROSS JOIN LATERAL (
    SELECT id FROM jobs WHERE batch_id = b.id AND {_NOT_BEGUN}
      AND (held <> b.paused OR priority <> b.priority)
    ORDER BY released_at IS NULL, rank LIMIT :most) j
), locked AS MATERIALIZED (
  SELECT * FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM wanted)) AND {_NOT_BEGUN}
  ORDER BY id FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE jobs j SET held = b.paused, priority = b.priority, released_at = NULL,
    rank = CASE WHEN j.priority = b.priority THEN j.rank ELSE
      least(greatest(j.submitted_at, j.run_at)
              + make_interval(secs => CAST(CAST(:offsets_s AS jsonb) ->> b.priority AS float8)),
            j.deadline - make_interval(secs => j.max_tokens * :token_s)) END,
    floor = CASE WHEN j.floor IS NULL OR (j.priority = b.priority AND b.paused) THEN j.floor
      ELSE greatest(j.floor, coalesce((SELECT c.floor FROM model_clocks c
                             WHERE c.model = j.model AND c.version = j.version), 0)) END
  FROM batch b WHERE j.id = ANY (ARRAY(SELECT id FROM locked)) AND j.{_NOT_BEGUN}
  RETURNING j.id
), settled AS (
{settled("locked", only="released_at IS NOT NULL AND id IN (SELECT id FROM moved)")}
), done AS (
  UPDATE batches b SET unsettled = false FROM batch
  WHERE b.id = batch.id AND NOT EXISTS (SELECT FROM wanted)
)
SELECT (SELECT count(*) FROM batch) AS batches, (SELECT count(*) FROM moved) AS moved
""")  # noqa: S608 - only constants are joined

# Of lines that came back to the queue of a paused batch, after an error or from a worker
# that left.
_HAS_STRAYS = text(f"""
UPDATE batches b SET unsettled = true
WHERE b.paused AND NOT b.unsettled AND b.status IN ('validating', 'in_progress')
  AND EXISTS (SELECT FROM jobs WHERE batch_id = b.id AND {_NOT_BEGUN} AND NOT held)
RETURNING b.id
""")  # noqa: S608 - only constants are joined


def settle(engine: Engine, batch_id: UUID | None) -> bool:
    """See `TaskManager.settle_lines`."""
    values = {
        "batch_id": batch_id,
        "most": _MOST,
        "token_s": GUESSED_TOKEN_S,
        "offsets_s": json.dumps({name.value: s for name, s in CLASS_OFFSET_S.items()}),
    }
    return bool(run(engine, _SETTLE, values)[0].batches)


def find_strays(engine: Engine) -> None:
    """See `TaskManager.find_strays`."""
    run(engine, _HAS_STRAYS, {})
