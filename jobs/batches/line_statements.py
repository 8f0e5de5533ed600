"""The SQL by which jobs come from batches and end with them; used by the Task Manager alone.

See `jobs.statements` for the rules of all SQL here.
"""

from sqlalchemy import text

from jobs.batches.statements import LEASE, MINE
from jobs.shares.statements import settled

_LINES = """
unnest(CAST(:lines AS int[]), CAST(:custom_ids AS text[]), CAST(:job_ids AS uuid[]),
       CAST(:faults AS text[]), CAST(:same_as AS int[]), CAST(:digests AS bytea[]))
  l(line, custom_id, job_id, fault, same_as, digest)"""

# Jobs, inputs, events and lines of the batch `mine`.
_ADD = f"""job AS (
  INSERT INTO jobs (id, batch_id, tenant_id, task, model, version, priority, client_address,
                    rank, floor, prompt_tokens, max_tokens, max_attempts, expires_at, deadline,
                    held)
  SELECT n.id, b.id, b.tenant_id, n.task, n.model, n.version, b.priority, b.client_address,
         least(clock_timestamp()
                 + make_interval(secs => CAST(CAST(:offsets_s AS jsonb) ->> b.priority AS float8)),
               b.expires_at - make_interval(secs => n.estimate_s)),
         coalesce(c.floor, 0), n.prompt_tokens, n.max_tokens, n.max_attempts,
         b.expires_at, b.expires_at, b.paused
  FROM mine b CROSS JOIN unnest(
    CAST(:ids AS uuid[]), CAST(:tasks AS text[]), CAST(:models AS text[]),
    CAST(:versions AS int[]), CAST(:prompt_tokens AS int[]), CAST(:max_tokens AS int[]),
    CAST(:max_attempts AS int[]), CAST(:estimates_s AS float8[]))
    n(id, task, model, version, prompt_tokens, max_tokens, max_attempts, estimate_s)
  LEFT JOIN model_clocks c ON c.model = n.model AND c.version = n.version
  RETURNING id
), input AS (
  INSERT INTO job_inputs (job_id, input, parameters, labels, asked)
  SELECT i.id, CAST(i.input AS jsonb), CAST(i.parameters AS json), CAST(i.labels AS jsonb),
         CAST(i.asked AS json)
  FROM mine CROSS JOIN unnest(CAST(:ids AS uuid[]), CAST(:inputs AS text[]),
    CAST(:parameters AS text[]), CAST(:labels AS text[]), CAST(:asked AS text[]))
    i(id, input, parameters, labels, asked)
), event AS (
  INSERT INTO job_events (job_id, kind, attempt) SELECT id, 'queued', 0 FROM job
), line AS (
  INSERT INTO batch_lines (batch_id, line, custom_id, job_id, error, same_as, digest)
  SELECT mine.id, l.line, l.custom_id, l.job_id, CAST(l.fault AS jsonb), l.same_as, l.digest
  FROM mine CROSS JOIN {_LINES}
)
"""  # noqa: S608 - only constants are joined
_MINE = "id, tenant_id, priority, client_address, expires_at, paused"

# A chunk of a file: all of that and how far the file is read stand or fall together.
# `start` makes it a compare-and-set, so a repetition adds nothing.
SUBMIT_LINES = text(f"""
WITH mine AS (
  UPDATE batches SET intake_bytes = :end_bytes, intake_line = :end_line,
    refused = refused + :refused, taken_until = {LEASE},
    intake_ended_at = CASE WHEN :ended THEN clock_timestamp() END
  WHERE {MINE} AND status = :status AND intake_bytes = :start_bytes AND intake_ended_at IS NULL
  RETURNING {_MINE}
), {_ADD}
SELECT id FROM mine
""")  # noqa: S608 - only constants are joined

# Lines that come in no file; the caller holds the batch's row.
APPEND_LINES = text(f"""
WITH mine AS (
  UPDATE batches SET lines = lines + :added, refused = refused + :refused,
    intake_line = :end_line
  WHERE id = :id RETURNING {_MINE}
), {_ADD}, kept AS (
  INSERT INTO appended_lines (batch_id, line, request)
  SELECT mine.id, a.line, a.request FROM mine
  CROSS JOIN unnest(CAST(:lines AS int[]), CAST(:requests AS bytea[])) a(line, request)
)
SELECT id FROM mine
""")  # noqa: S608 - only constants are joined

# Lines of batches that are cancelled, a bounded piece: waiting ones end, of running
# ones the cancel is recorded.
CANCEL_LINES = text(f"""
WITH wanted AS MATERIALIZED (
  SELECT j.id FROM batches b CROSS JOIN LATERAL (
    SELECT id FROM jobs WHERE batch_id = b.id AND state IN ('queued', 'running')
      AND (state = 'queued' OR NOT cancel_requested)
    LIMIT :most) j
  WHERE b.status = 'cancelling' LIMIT :most
), locked AS MATERIALIZED (
  SELECT j.id FROM jobs j WHERE j.id = ANY (ARRAY(SELECT id FROM wanted))
    AND (state = 'queued' OR state = 'running' AND NOT cancel_requested)
  ORDER BY j.id FOR UPDATE SKIP LOCKED
), changed AS (
  UPDATE jobs j SET cancel_requested = true,
    state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finish_reason = CASE state WHEN 'queued' THEN 'cancelled' END,
    finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END
  FROM locked WHERE j.id = locked.id AND j.state IN ('queued', 'running')
  RETURNING j.*
), settled AS (
{settled("changed", only="state = 'cancelled'")}
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, CASE state WHEN 'cancelled' THEN state ELSE 'cancel_requested' END, attempt, 'batch'
FROM changed
RETURNING job_id
""")  # noqa: S608 - only constants are joined
