"""The SQL by which a worker's jobs change state: claim, finish, give back, lose.

Used by the Task Manager alone; see `jobs.statements` for the rules of all SQL here.
"""

from sqlalchemy import text

from jobs.shares.statements import settled
from jobs.webhooks.announcements import announced_jobs

# A job that generates nothing says nothing about the time of a token.
_SERVICE_S = (
    "CASE WHEN state = 'succeeded' AND max_tokens > 0 "
    "THEN extract(epoch FROM finished_at - started_at)::float8 END"
)

# Compare-and-set: whoever locks a released row first has it. `attempt` grows
# here and is the fence of everything the worker writes later. A worker that
# holds suspects takes nothing beside them; suspects are taken by an idle worker,
# a whole group at once; and a busy one takes nothing that came after them, so
# that it becomes idle.
CLAIM = text("""
WITH mine AS MATERIALIZED (
  SELECT count(*) AS held, count(suspect_group) AS suspects FROM jobs
  WHERE worker_id = :worker_id AND state = 'running'
), suspect AS MATERIALIZED (
  SELECT suspect_group, turn FROM jobs WHERE model = :model AND version = :version
    AND state = 'queued' AND released_at IS NOT NULL AND suspect_group IS NOT NULL
    AND (expires_at IS NULL OR expires_at > clock_timestamp())
  ORDER BY turn LIMIT 1
), best AS MATERIALIZED (
  SELECT id FROM jobs WHERE model = :model AND version = :version
    AND state = 'queued' AND released_at IS NOT NULL
    AND (expires_at IS NULL OR expires_at > clock_timestamp())
    AND EXISTS (SELECT FROM workers WHERE id = :worker_id AND ended_at IS NULL
                AND lease_until > clock_timestamp())
    AND NOT EXISTS (SELECT FROM paused_models WHERE model = :model AND version = :version)
    AND (SELECT suspects FROM mine) = 0
    AND CASE WHEN NOT EXISTS (SELECT FROM suspect) THEN true
             WHEN (SELECT held FROM mine) = 0
               THEN suspect_group = (SELECT suspect_group FROM suspect)
             ELSE suspect_group IS NULL AND turn < (SELECT turn FROM suspect) END
  ORDER BY turn LIMIT :free FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE jobs SET state = 'running', attempt = attempt + 1, worker_id = :worker_id,
                  started_at = clock_timestamp(), first_token_at = NULL
  FROM best WHERE jobs.id = best.id
  RETURNING jobs.id, tenant_id, task, attempt, turn, stream
), event AS (
  INSERT INTO job_events (job_id, kind, attempt, worker_id)
  SELECT id, 'running', attempt, :worker_id FROM claimed
)
SELECT c.id, c.tenant_id, c.task, c.attempt, i.input, i.parameters, c.stream
FROM claimed c JOIN job_inputs i ON i.job_id = c.id ORDER BY c.turn
""")

# The fence: id, attempt, worker, still running. A requested cancel turns a
# success into `cancelled` in the same statement, so no acknowledged cancel is
# ever answered with a success. Locked first, in id order, in `held`.
FINISH = text(f"""
WITH incoming AS MATERIALIZED (
  SELECT DISTINCT ON (id) *
  FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:states AS text[]),
    CAST(:reasons AS text[]), CAST(:codes AS text[]), CAST(:messages AS text[]),
    CAST(:texts AS text[]), CAST(:details AS text[]), CAST(:tokens AS int[]),
    CAST(:first_s AS float8[]), CAST(:retryable AS bool[]))
  AS t(id, attempt, state, reason, code, message, content, details, tokens, first_s, retryable)
), held AS MATERIALIZED (
  SELECT j.id,
    CASE WHEN j.cancel_requested AND (i.state = 'succeeded' OR i.retryable) THEN 'cancelled'
         WHEN i.retryable AND j.errors + 1 < j.max_attempts THEN 'queued'
         ELSE i.state END AS next,
    clock_timestamp() + make_interval(
      secs => least(:longest_pause_s, :pause_s * 2 ^ j.errors) * (0.5 + random())) AS again_at
  FROM jobs j JOIN incoming i ON j.id = i.id ORDER BY j.id FOR UPDATE OF j
), won AS (
  UPDATE jobs j SET
    state = h.next,
    finish_reason = CASE h.next WHEN 'queued' THEN NULL
                                WHEN 'cancelled' THEN 'cancelled' ELSE i.reason END,
    error_code = CASE h.next WHEN 'failed' THEN i.code END,
    errors = j.errors + CASE WHEN i.state = 'failed' THEN 1 ELSE 0 END,
    completion_tokens = CASE h.next WHEN 'queued' THEN NULL ELSE i.tokens END,
    finished_at = CASE h.next WHEN 'queued' THEN NULL ELSE clock_timestamp() END,
    first_token_at = CASE h.next WHEN 'queued' THEN NULL
                     ELSE clock_timestamp() - make_interval(secs => i.first_s) END,
    released_at = CASE h.next WHEN 'queued' THEN NULL ELSE j.released_at END,
    started_at = CASE h.next WHEN 'queued' THEN NULL ELSE j.started_at END,
    worker_id = CASE h.next WHEN 'queued' THEN NULL ELSE j.worker_id END,
    suspect_group = NULL,
    run_at = CASE h.next WHEN 'queued' THEN h.again_at ELSE j.run_at END,
    -- Otherwise every release would walk over all jobs that wait for a retry.
    rank = CASE h.next WHEN 'queued' THEN greatest(j.rank, h.again_at) ELSE j.rank END
  FROM incoming i, held h
  WHERE j.id = h.id AND j.id = i.id AND j.attempt = i.attempt
    AND j.worker_id = :worker_id AND j.state = 'running'
  RETURNING j.*, i.tokens
), settled AS (
{settled("won", tokens="tokens", service_s=_SERVICE_S)}
), announced AS (
{announced_jobs("won")}
), result AS (
  INSERT INTO job_results (job_id, attempt, text, details, error_message)
  SELECT w.id, w.attempt, i.content, CAST(i.details AS jsonb), i.message
  FROM won w JOIN incoming i ON i.id = w.id
  WHERE w.state <> 'queued'
), event AS (
  INSERT INTO job_events (job_id, kind, attempt, worker_id, reason)
  SELECT w.id, w.state, w.attempt, :worker_id,
         -- Whoever asked for its end is why it was cancelled.
         CASE WHEN w.state = 'cancelled' THEN coalesce((
           SELECT e.reason FROM job_events e
           WHERE e.job_id = w.id AND e.kind = 'cancel_requested' LIMIT 1), i.code)
         ELSE i.code END
  FROM won w JOIN incoming i ON i.id = w.id
)
SELECT id, state FROM won
UNION ALL  -- committed by this very attempt before, if its answer was lost on the way
SELECT j.id, j.state FROM jobs j JOIN incoming i ON j.id = i.id
WHERE j.attempt = i.attempt AND j.worker_id = :worker_id
  AND j.state IN ('succeeded', 'failed', 'cancelled', 'expired')
""")  # noqa: S608 - only constants are joined

# Uncharged and at once: the next worker with a free slot may take it.
GIVE_BACK = text(f"""
WITH held AS MATERIALIZED (
  SELECT id FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])) AND worker_id = :worker_id
    AND state = 'running' ORDER BY id FOR UPDATE
), back AS (
  UPDATE jobs j SET
    state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
    finish_reason = CASE WHEN cancel_requested THEN 'cancelled' END,
    finished_at = CASE WHEN cancel_requested THEN clock_timestamp() END,
    worker_id = NULL, started_at = NULL
  FROM held h WHERE j.id = h.id AND j.worker_id = :worker_id AND j.state = 'running'
  RETURNING j.*
), settled AS (
{settled("back", only="state = 'cancelled'")}
), announced AS (
{announced_jobs("back")}
)
INSERT INTO job_events (job_id, kind, attempt, worker_id, reason)
SELECT id, state, attempt, :worker_id, 'given_back' FROM back
RETURNING job_id AS id, kind AS state
""")  # noqa: S608 - only constants are joined

# Jobs of a worker whose lease is over. If it was seen dead, a job that was alone
# in the engine is charged with the crash, and several are suspects that run
# again in two halves, until the culprit stands alone. A lease that only ran out
# (a network, a Postgres that was away) charges nobody; `most_attempts` bounds
# what it can repeat. A claim that raced the end of its lease is found by the
# next pass.
RECLAIM = text(f"""
WITH lost AS MATERIALIZED (
  SELECT j.id, j.worker_id, w.died,
         j.cancel_requested, j.crashes, j.attempt  -- as they are under the lock
  FROM jobs j JOIN workers w ON w.id = j.worker_id
  WHERE j.state = 'running' AND (w.ended_at IS NOT NULL OR w.lease_until < clock_timestamp())
  ORDER BY j.id LIMIT 1000 FOR UPDATE OF j SKIP LOCKED
), counted AS MATERIALIZED (
  SELECT lost.*, count(*) OVER (PARTITION BY worker_id) AS together,
         row_number() OVER (PARTITION BY worker_id ORDER BY id) AS number FROM lost
), halves AS MATERIALIZED (
  SELECT worker_id, half, gen_random_uuid() AS suspect_group
  FROM (SELECT DISTINCT worker_id FROM lost) w CROSS JOIN (VALUES (true), (false)) h(half)
), verdict AS MATERIALIZED (
  SELECT c.id, c.worker_id, c.died, c.together, h.suspect_group,
    CASE WHEN c.cancel_requested THEN 'cancelled'
         WHEN c.died AND c.together = 1 AND c.crashes + 1 >= :max_crashes THEN 'failed'
         WHEN c.attempt >= :most_attempts THEN 'failed'
         ELSE 'queued' END AS next,
    CASE WHEN c.died AND c.together = 1 THEN 'poisonous' ELSE 'worker_lost' END AS code
  FROM counted c JOIN halves h
    ON h.worker_id = c.worker_id AND h.half = (c.number * 2 <= c.together)
), back AS (
  UPDATE jobs j SET
    state = v.next,
    crashes = crashes + CASE WHEN v.died AND v.together = 1 THEN 1 ELSE 0 END,
    suspect_group = CASE WHEN v.died THEN v.suspect_group ELSE j.suspect_group END,
    finish_reason = CASE v.next WHEN 'cancelled' THEN 'cancelled' END,
    error_code = CASE v.next WHEN 'failed' THEN v.code END,
    finished_at = CASE v.next WHEN 'queued' THEN NULL ELSE clock_timestamp() END,
    worker_id = NULL, started_at = NULL
  FROM verdict v WHERE j.id = v.id AND j.state = 'running'
  RETURNING j.*, v.worker_id AS lost_worker, v.died, v.together
), settled AS (
{settled("back", only="state <> 'queued'")}
), announced AS (
{announced_jobs("back")}
)
INSERT INTO job_events (job_id, kind, attempt, worker_id, reason)
SELECT id, state, attempt, lost_worker,
       CASE WHEN NOT died THEN 'lease_lost'
            WHEN together = 1 THEN 'worker_died_alone'
            ELSE 'worker_died_with_others' END FROM back
RETURNING job_id AS id, kind AS state
""")  # noqa: S608 - only constants are joined

# What a worker holds according to Postgres, and whether a client wants it ended.
HELD = text("""
SELECT id, attempt, cancel_requested,
       coalesce(deadline <= clock_timestamp(), false) AS overdue
FROM jobs WHERE worker_id = :worker_id AND state = 'running'
""")
