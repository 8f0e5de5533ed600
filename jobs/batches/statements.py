"""The SQL that moves batches; rules as in `jobs.statements`.

What a housekeeper does to a batch it does under a lease of the batch's row, and each
of these looks at the lease again: one that came too late changes nothing.
"""

from sqlalchemy import text

from jobs.batches.states import BatchState, before
from jobs.webhooks.announcements import announced


def _from(state: BatchState) -> str:
    return f"status IN ({', '.join(repr(name) for name in before(state))})"


MINE = "id = :id AND taken_by = :taken_by"
LEASE = "clock_timestamp() + make_interval(secs => :lease_s)"
_UNFINISHED = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"

_CREATE = """
INSERT INTO batches (id, tenant_id, endpoint, input_file_id, completion_window,
  completion_window_s, priority, labels, client_address, output_expires_after_s, expires_at,
  open, dedupe, retry_of, overrides, dry_run, status, in_progress_at)
SELECT :id, :tenant_id, :endpoint, :input_file_id, :window, :window_s, :priority,
  CAST(:labels AS jsonb), :client_address, :output_expires_after_s,
  clock_timestamp() + make_interval(secs => :window_s), :open, :dedupe, :retry_of,
  CAST(:overrides AS json), :dry_run, :status,
  CASE :status WHEN 'in_progress' THEN clock_timestamp() END
{source}
ON CONFLICT (id) DO NOTHING RETURNING id
"""

CREATE = text(_CREATE.format(source=""))

# The same, if the tenant's key is new. Keys of jobs and of batches are one set.
CREATE_ONCE = text(f"""
WITH key AS (
  INSERT INTO idempotency_keys (tenant_id, key, body_sha256, job_id)
  VALUES (:tenant_id, :key, :body_sha256, :id)
  ON CONFLICT DO NOTHING RETURNING job_id
)
{_CREATE.format(source="FROM key")}""")  # noqa: S608 - only constants are joined

CANCEL = text(f"""
UPDATE batches SET status = 'cancelling', cancelling_at = clock_timestamp()
WHERE id = :id AND tenant_id = :tenant_id AND {_from(BatchState.CANCELLING)} RETURNING id
""")  # noqa: S608 - only constants are joined

# One batch at a time: the one that nobody holds, served least lately.
_TAKE = f"""
WITH next AS MATERIALIZED (
  SELECT id FROM batches b WHERE {_UNFINISHED} AND {{due}}
    AND (taken_until IS NULL OR taken_until <= clock_timestamp())
  ORDER BY taken_until NULLS FIRST, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE batches b SET taken_by = :taken_by, taken_until = {LEASE} FROM next WHERE b.id = next.id
RETURNING b.id, b.tenant_id, b.endpoint, b.input_file_id, b.status, b.priority, b.client_address,
  b.output_expires_after_s, b.lines, b.intake_bytes, b.intake_line, b.dedupe, b.overrides,
  b.retry_of
"""  # noqa: S608 - only constants are joined

_TO_READ = "intake_ended_at IS NULL AND input_file_id IS NOT NULL AND NOT dry_run"
_READ = "(intake_ended_at IS NOT NULL OR input_file_id IS NULL)"
_NO_OPEN_LINE = """NOT EXISTS (SELECT FROM jobs j WHERE j.batch_id = b.id
                    AND j.state IN ('queued', 'running'))"""
_TO_WRITE = f"(status = 'finalizing' OR status = 'cancelling' AND {_READ} AND {_NO_OPEN_LINE})"

# A batch of retried lines, whose file is made of that of the first.
_TO_GATHER = "status = 'validating' AND retry_of IS NOT NULL AND input_file_id IS NULL"
_TO_TRY = "status = 'validating' AND dry_run"

TAKE_TO_GATHER = text(_TAKE.format(due=_TO_GATHER))
TAKE_TO_TRY = text(_TAKE.format(due=_TO_TRY))
TAKE_TO_READ = text(_TAKE.format(due=_TO_READ))
TAKE_TO_WRITE = text(_TAKE.format(due=_TO_WRITE))

KEEP = text(f"""
UPDATE batches SET taken_until = {LEASE} WHERE {MINE} RETURNING id
""")  # noqa: S608 - only constants are joined

LET_GO = text(f"""
UPDATE batches SET taken_by = NULL,
  taken_until = clock_timestamp() + make_interval(secs => :pause_s)
WHERE {MINE} RETURNING id
""")  # noqa: S608 - only constants are joined

# The file was counted; from here on its lines are taken in, or ended as they come.
BEGIN = text(f"""
UPDATE batches SET lines = :lines, in_progress_at = clock_timestamp(),
  status = CASE status WHEN 'validating' THEN 'in_progress' ELSE status END
WHERE {MINE} AND lines = 0 AND intake_ended_at IS NULL RETURNING id
""")  # noqa: S608 - only constants are joined

# In the statement that ends a batch, whose row it names `batch`.
_ANNOUNCED = announced(
    "batch",
    type="'batch.' || e.status",
    subject="'batch_' || replace(CAST(e.id AS text), '-', '')",
    only="e.status IN ('completed', 'failed', 'cancelled', 'expired')",
)

# Nothing can be done with the file. A batch that was being cancelled is so all the same.
FAIL = text(f"""
WITH batch AS (
UPDATE batches SET error = CAST(:error AS jsonb), intake_ended_at = clock_timestamp(),
  status = CASE status WHEN 'validating' THEN 'failed' ELSE status END,
  failed_at = CASE status WHEN 'validating' THEN clock_timestamp() END
WHERE {MINE} AND intake_ended_at IS NULL RETURNING *
), announced AS (
{_ANNOUNCED}
)
SELECT id FROM batch
""")  # noqa: S608 - only constants are joined

# The file cannot be read further: what was taken in of it runs on, the rest is not known.
BREAK_OFF = text(f"""
UPDATE batches SET error = CAST(:error AS jsonb), intake_ended_at = clock_timestamp(),
  lines = (SELECT count(*) FROM batch_lines l WHERE l.batch_id = batches.id)
WHERE {MINE} AND intake_ended_at IS NULL RETURNING id
""")  # noqa: S608 - only constants are joined

# The file of retried lines is there.
GATHERED = text(f"""
UPDATE batches SET input_file_id = :file_id WHERE {MINE} AND {_TO_GATHER} RETURNING id
""")  # noqa: S608 - only constants are joined

# A dry run found out what it can.
TRIED = text(f"""
UPDATE batches SET status = 'completed', completed_at = clock_timestamp(),
  intake_ended_at = clock_timestamp(), report = CAST(:report AS jsonb),
  taken_by = NULL, taken_until = NULL
WHERE {MINE} AND {_TO_TRY} RETURNING id
""")  # noqa: S608 - only constants are joined

# What a line of a batch may do now, asked before each chunk.
STANDING = text("""
SELECT status, expires_at <= clock_timestamp() AS over, intake_bytes AS at,
  taken_by = :taken_by AND intake_ended_at IS NULL AS mine,
  ARRAY(SELECT l.custom_id FROM batch_lines l WHERE l.batch_id = :id
        AND l.custom_id = ANY (CAST(:custom_ids AS text[]))) AS known
FROM batches WHERE id = :id
""")

# No line is open any more, and none will come.
FINALIZE = text(f"""
WITH done AS MATERIALIZED (
  SELECT id FROM batches b
  WHERE status = 'in_progress' AND {_READ} AND (NOT open OR expires_at <= clock_timestamp())
    AND {_NO_OPEN_LINE}
  ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
)
UPDATE batches b SET status = 'finalizing', finalizing_at = clock_timestamp()
FROM done WHERE b.id = done.id AND b.status = 'in_progress'
RETURNING b.id
""")  # noqa: S608 - only constants are joined

# Its files are there. How it ended is asked of its lines.
END = text(f"""
WITH lost AS (
  SELECT EXISTS (SELECT FROM jobs WHERE batch_id = :id AND state = 'expired')
      OR EXISTS (SELECT FROM batch_lines WHERE batch_id = :id
                 AND error -> 'error' ->> 'code' = 'batch_expired') AS late
), ended AS (
  SELECT CASE WHEN b.status = 'cancelling' THEN 'cancelled'
              WHEN b.error IS NOT NULL THEN 'failed'
              WHEN lost.late THEN 'expired' ELSE 'completed' END AS status
  FROM batches b CROSS JOIN lost WHERE b.id = :id
), batch AS (
UPDATE batches b SET status = e.status, taken_by = NULL, taken_until = NULL,
  output_file_id = :output_file_id, error_file_id = :error_file_id,
  prompt_tokens = t.prompt_tokens, completion_tokens = t.completion_tokens,
  completed_at = CASE e.status WHEN 'completed' THEN clock_timestamp() END,
  cancelled_at = CASE e.status WHEN 'cancelled' THEN clock_timestamp() END,
  expired_at = CASE e.status WHEN 'expired' THEN clock_timestamp() END,
  failed_at = CASE e.status WHEN 'failed' THEN clock_timestamp() END
FROM ended e, (
  SELECT coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
         coalesce(sum(completion_tokens), 0) AS completion_tokens
  FROM jobs WHERE batch_id = :id AND state = 'succeeded') t
WHERE b.{MINE} AND b.status IN ('finalizing', 'cancelling')
RETURNING b.*
), announced AS (
{_ANNOUNCED}
)
SELECT status FROM batch
""")  # noqa: S608 - only constants are joined
