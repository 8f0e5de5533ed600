"""The SQL by which a job's state changes; used by the Task Manager alone.

Each statement is one transaction's worth of work in one round trip, takes its
locks in id order, reads Postgres' clock, and is harmless when it runs twice.
"""

from sqlalchemy import text

# Accepted means durable: job, input and first event appear together or not at
# all. A repetition after a lost connection finds the id taken and adds nothing.
_SUBMIT = """
job AS (
  INSERT INTO jobs (id, tenant_id, task, model, version, priority, client_address,
                    rank, prompt_tokens, max_tokens, max_attempts, run_at, expires_at, deadline)
  SELECT :id, :tenant_id, :task, :model, :version, :priority, :client_address,
         least(greatest(clock_timestamp(), CAST(:run_at AS timestamptz))
                 + make_interval(secs => :offset_s),
               CAST(:deadline AS timestamptz) - make_interval(secs => :estimate_s)),
         :prompt_tokens, :max_tokens, :max_attempts, CAST(:run_at AS timestamptz),
         least(greatest(clock_timestamp(), CAST(:run_at AS timestamptz))
                 + make_interval(secs => CAST(:expires_after_s AS float8)),
               CAST(:deadline AS timestamptz)),
         CAST(:deadline AS timestamptz)
  {source}
  ON CONFLICT (id) DO NOTHING
  RETURNING id, submitted_at, expires_at
), input AS (
  INSERT INTO job_inputs (job_id, input, parameters, labels)
  SELECT id, CAST(:input AS jsonb), CAST(:parameters AS jsonb), CAST(:labels AS jsonb) FROM job
)
INSERT INTO job_events (job_id, kind, attempt) SELECT id, 'queued', 0 FROM job
RETURNING (SELECT submitted_at FROM job) AS submitted_at,
          (SELECT expires_at FROM job) AS expires_at
"""

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
REPLAY = text("""
WITH old AS (
  SELECT j.*, i.input, i.parameters, i.labels
  FROM jobs j JOIN job_inputs i ON i.job_id = j.id
  WHERE j.id = :old_id AND j.tenant_id = :tenant_id
    AND j.state IN ('succeeded', 'failed', 'cancelled', 'expired')
), job AS (
  INSERT INTO jobs (id, replay_of, tenant_id, task, model, version, priority, client_address,
                    rank, prompt_tokens, max_tokens, max_attempts)
  SELECT :id, id, tenant_id, task, model, version, priority, :client_address,
         clock_timestamp()
           + make_interval(secs => CAST(CAST(:offsets_s AS jsonb) ->> priority AS float8)),
         prompt_tokens, max_tokens, max_attempts FROM old
  ON CONFLICT (id) DO NOTHING RETURNING id
), input AS (
  INSERT INTO job_inputs (job_id, input, parameters, labels)
  SELECT job.id, old.input, old.parameters, old.labels FROM job, old
)
INSERT INTO job_events (job_id, kind, attempt, reason) SELECT id, 'queued', 0, 'replay' FROM job
RETURNING job_id
""")

RECALL_KEY = text("""
SELECT job_id, body_sha256 FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key
""")

# Makes the best `target` waiting rows the released ones: what is released is a
# function of rank alone, so interactive work goes ahead as far as its rank does
# and no further. One dispatcher at a time decides for a model, a second one
# passes by; rows are looked at again under their lock, so two that decide in
# the same moment release no row twice. Both scans end after `target` rows of an
# index; a job for later has a later rank too (behind its time by its class'
# offset at most), so the bound on rank keeps them from walking over all of these.
RELEASE = text("""
WITH turn AS MATERIALIZED (
  SELECT pg_try_advisory_xact_lock(hashtextextended(:queue, 1)) AS mine
), best AS MATERIALIZED (
  SELECT id, released_at FROM (
    (SELECT id, rank, released_at FROM jobs WHERE model = :model AND version = :version
       AND state = 'queued' AND released_at IS NOT NULL
     ORDER BY rank LIMIT :target)
    UNION ALL
    (SELECT id, rank, released_at FROM jobs WHERE model = :model AND version = :version
       AND state = 'queued' AND released_at IS NULL
       AND rank <= clock_timestamp() + interval '600 seconds'
       AND (run_at IS NULL OR run_at <= clock_timestamp())
       AND (expires_at IS NULL OR expires_at > clock_timestamp())
     ORDER BY rank LIMIT :target)
  ) candidates ORDER BY rank LIMIT :target
), chosen AS MATERIALIZED (
  SELECT id FROM jobs
  WHERE id = ANY (ARRAY(SELECT id FROM best WHERE released_at IS NULL))
    AND state = 'queued' AND released_at IS NULL AND (SELECT mine FROM turn)
  ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET released_at = clock_timestamp()
WHERE id = ANY (ARRAY(SELECT id FROM chosen))
RETURNING id, EXISTS (
  SELECT FROM best WHERE released_at < clock_timestamp() - interval '50 milliseconds') AS backlog
""")

# A waiting job ends at once; of a running one the cancel is recorded and its
# worker takes the sequence out of the batch.
CANCEL = text("""
WITH changed AS (
  UPDATE jobs SET cancel_requested = true,
    state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finish_reason = CASE state WHEN 'queued' THEN 'cancelled' END,
    finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END
  WHERE id = :id AND tenant_id = :tenant_id AND state IN ('queued', 'running')
    AND NOT cancel_requested
  RETURNING id, attempt, state
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, CASE state WHEN 'cancelled' THEN state ELSE 'cancel_requested' END, attempt, 'client'
FROM changed
RETURNING kind
""")

# Waiting jobs whose time is over; they never touch an engine.
EXPIRE = text("""
WITH late AS MATERIALIZED (
  SELECT id FROM jobs WHERE state = 'queued' AND expires_at <= clock_timestamp()
  ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), ended AS (
  UPDATE jobs j SET state = 'expired', finished_at = clock_timestamp(),
    error_code = CASE WHEN deadline <= clock_timestamp() THEN 'deadline_exceeded'
                      ELSE 'expired_in_queue' END
  FROM late WHERE j.id = late.id AND j.state = 'queued'
  RETURNING j.id, j.attempt, j.error_code
)
INSERT INTO job_events (job_id, kind, attempt, reason)
SELECT id, 'expired', attempt, error_code FROM ended
RETURNING job_id AS id
""")
