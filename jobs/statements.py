"""The SQL by which a job's state changes; used by the Task Manager alone.

Each statement is one transaction's worth of work in one round trip, takes its
locks in id order, reads Postgres' clock, and is harmless when it runs twice.
"""

from sqlalchemy import text

from jobs.shares.statements import settled
from jobs.webhooks.announcements import announced_jobs


def _floor(model: str, version: str) -> str:
    """The virtual time of a model version, for a new job's turn (`jobs.shares.fair_share`)."""
    return f"""coalesce((SELECT floor FROM model_clocks
                   WHERE model = {model} AND version = {version}), 0)"""  # noqa: S608


# Accepted means durable: job, input and first event appear together or not at
# all. A repetition after a lost connection finds the id taken and adds nothing.
_SUBMIT = f"""
job AS (
  INSERT INTO jobs (id, tenant_id, task, model, version, priority, client_address,
                    rank, floor, prompt_tokens, max_tokens, max_attempts, stream, has_webhook,
                    run_at, expires_at, deadline)
  SELECT :id, :tenant_id, :task, :model, :version, :priority, :client_address,
         least(greatest(clock_timestamp(), CAST(:run_at AS timestamptz))
                 + make_interval(secs => :offset_s),
               CAST(:deadline AS timestamptz) - make_interval(secs => :estimate_s)),
         CASE WHEN CAST(:run_at AS timestamptz) > clock_timestamp() THEN NULL
              ELSE {_floor(":model", ":version")} END,
         :prompt_tokens, :max_tokens, :max_attempts, :stream,
         CAST(:webhook AS jsonb) IS NOT NULL, CAST(:run_at AS timestamptz),
         least(greatest(clock_timestamp(), CAST(:run_at AS timestamptz))
                 + make_interval(secs => CAST(:expires_after_s AS float8)),
               CAST(:deadline AS timestamptz)),
         CAST(:deadline AS timestamptz)
  {{source}}
  ON CONFLICT (id) DO NOTHING
  RETURNING id, submitted_at, expires_at
), input AS (
  INSERT INTO job_inputs (job_id, input, parameters, labels, asked, webhook)
  SELECT id, CAST(:input AS jsonb), CAST(:parameters AS json), CAST(:labels AS jsonb),
         CAST(:asked AS json), CAST(:webhook AS jsonb) FROM job
)
INSERT INTO job_events (job_id, kind, attempt) SELECT id, 'queued', 0 FROM job
RETURNING (SELECT submitted_at FROM job) AS submitted_at,
          (SELECT expires_at FROM job) AS expires_at
"""  # noqa: S608 - only constants are joined

SUBMIT = text(f"WITH {_SUBMIT.format(source='')}")

# The same, if the tenant's key is new: the key's row and the job's stand or fall together.
SUBMIT_ONCE = text(f"""
WITH key AS (
  INSERT INTO idempotency_keys (tenant_id, key, body_sha256, job_id)
  VALUES (:tenant_id, :key, :body_sha256, :id)
  ON CONFLICT DO NOTHING RETURNING job_id
), {_SUBMIT.format(source="FROM key")}
""")  # noqa: S608 - only constants are joined

# A finished job's input again, as a new job; the finished one never changes.
REPLAY = text(f"""
WITH old AS (
  SELECT j.*, i.input, i.parameters, i.labels
  FROM jobs j JOIN job_inputs i ON i.job_id = j.id
  WHERE j.id = :old_id AND j.tenant_id = :tenant_id
    AND j.state IN ('succeeded', 'failed', 'cancelled', 'expired')
), job AS (
  INSERT INTO jobs (id, replay_of, tenant_id, task, model, version, priority, client_address,
                    rank, floor, prompt_tokens, max_tokens, max_attempts)
  SELECT :id, id, tenant_id, task, model, version, priority, :client_address,
         clock_timestamp()
           + make_interval(secs => CAST(CAST(:offsets_s AS jsonb) ->> priority AS float8)),
         {_floor("old.model", "old.version")},
         prompt_tokens, max_tokens, max_attempts FROM old
  ON CONFLICT (id) DO NOTHING RETURNING id
), input AS (
  INSERT INTO job_inputs (job_id, input, parameters, labels)
  SELECT job.id, old.input, old.parameters, old.labels FROM job, old
)
INSERT INTO job_events (job_id, kind, attempt, reason) SELECT id, 'queued', 0, 'replay' FROM job
RETURNING job_id
""")  # noqa: S608 - only constants are joined

RECALL_KEY = text("""
SELECT job_id, body_sha256 FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key
""")

# A waiting job ends at once; of a running one the cancel is recorded and its
# worker takes the sequence out of the batch.
CANCEL = text(f"""
WITH changed AS (
  UPDATE jobs SET cancel_requested = true,
    state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finish_reason = CASE state WHEN 'queued' THEN 'cancelled' END,
    finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END
  WHERE id = :id AND tenant_id = :tenant_id AND state IN ('queued', 'running')
    AND NOT cancel_requested
  RETURNING *
), settled AS (
{settled("changed", only="state = 'cancelled'")}
), announced AS (
{announced_jobs("changed")}
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, CASE state WHEN 'cancelled' THEN state ELSE 'cancel_requested' END, attempt, 'client'
FROM changed
RETURNING kind
""")  # noqa: S608 - only constants are joined

# Waiting jobs whose time is over; they never touch an engine.
EXPIRE = text(f"""
WITH late AS MATERIALIZED (
  SELECT id FROM jobs WHERE state = 'queued' AND expires_at <= clock_timestamp()
  ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), ended AS (
  UPDATE jobs j SET state = 'expired', finished_at = clock_timestamp(),
    error_code = CASE WHEN deadline <= clock_timestamp() THEN 'deadline_exceeded'
                      ELSE 'expired_in_queue' END
  FROM late WHERE j.id = late.id AND j.state = 'queued'
  RETURNING j.*
), settled AS (
{settled("ended")}
), announced AS (
{announced_jobs("ended")}
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, 'expired', attempt, error_code FROM ended
RETURNING job_id AS id
""")  # noqa: S608 - only constants are joined
