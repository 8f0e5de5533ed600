"""The SQL that `explain` reads. Every scan is one of an index and ends after a
fixed number of rows, however many jobs wait."""

from sqlalchemy import text

from jobs.shares.statements import EVERY_FLOW
from jobs.token_times import FIRST

JOB = text("""
SELECT id, model, version, state, tenant_id, priority, rank, released_at, turn, prompt_tokens,
       max_tokens, completion_tokens, submitted_at, started_at, finished_at, run_at, expires_at,
       deadline, floor, attempt, errors, crashes, suspect_group, worker_id, cancel_requested,
       finish_reason, error_code, batch_id, held
FROM jobs WHERE id = :id AND tenant_id = :tenant_id
""")

# From how many jobs a flow's `fill` was learned, about: those of its tenant lately, in all
# classes. A number that was learned long ago counts as a guess.
_LEARNED = """LEFT JOIN LATERAL (
  SELECT sum(succeeded)::float8 AS jobs FROM usage_days
  WHERE tenant_id = {tenant} AND day > CURRENT_DATE - 7 AND model = :model AND version = :version
) known ON s.fill IS NOT NULL"""
_FILL = "coalesce(s.fill, 1)::float8 AS fill, coalesce(known.jobs, 0)::float8 AS learned"

# One row of everything about a model version that is not a count of jobs.
MODEL = text(f"""
SELECT clock_timestamp() AS now, p.paused_at, p.reason AS pause_reason,
  coalesce(c.floor, 0)::float8 AS floor, c.slot_tokens_per_s,
  w.ready, w.loading, w.draining, w.slots, w.loading_since,
  l.ended_at AS last_ended_at, l.died AS last_died, l.exit_code AS last_exit_code,
  d.broker_ok, d.broker_since, extract(epoch FROM clock_timestamp() - d.seen_at)::float8
    AS dispatcher_age_s,
  coalesce(t.weight, 1)::float8 AS tenant_weight, coalesce(s.virtual, 0)::float8 AS virtual,
  {_FILL},
  (SELECT coalesce(sum(jobs), 0) FROM token_times
   WHERE model = :model AND version = :version AND kind = '{FIRST}')::int AS speed_learned,
  -- What Postgres believes to be the number of waiting jobs, of all models.
  (SELECT CASE WHEN reltuples >= 0 THEN reltuples END FROM pg_class
   WHERE oid = to_regclass('ix_jobs_waiting'))::float8 AS waiting
FROM (VALUES (1)) one
LEFT JOIN paused_models p ON p.model = :model AND p.version = :version
LEFT JOIN model_clocks c ON c.model = :model AND c.version = :version
LEFT JOIN components d ON d.name = 'dispatcher'
LEFT JOIN tenants t ON t.id = :tenant_id
LEFT JOIN fair_shares s ON s.model = :model AND s.version = :version
  AND s.tenant_id = :tenant_id AND s.priority = :priority
{_LEARNED.format(tenant=":tenant_id")}
LEFT JOIN LATERAL (
  SELECT ended_at, died, exit_code FROM workers
  WHERE model = :model AND version = :version AND ended_at IS NOT NULL
  ORDER BY ended_at DESC LIMIT 1) l ON true
CROSS JOIN LATERAL (
  SELECT (count(*) FILTER (WHERE state = 'ready'))::int AS ready,
    (count(*) FILTER (WHERE state = 'loading'))::int AS loading,
    (count(*) FILTER (WHERE state = 'draining'))::int AS draining,
    coalesce(sum(slots) FILTER (WHERE state = 'ready'), 0)::int AS slots,
    min(started_at) FILTER (WHERE state = 'loading') AS loading_since
  FROM workers WHERE model = :model AND version = :version AND ended_at IS NULL
    AND lease_until > clock_timestamp()) w
""")  # noqa: S608 - only constants are joined

# What runs in ready workers, each with what is known of its flow.
RUNNING = text(f"""
SELECT j.max_tokens, extract(epoch FROM clock_timestamp() - j.started_at)::float8 AS ran_s, {_FILL}
FROM workers w
JOIN jobs j ON j.worker_id = w.id AND j.state = 'running'
LEFT JOIN fair_shares s ON s.model = w.model AND s.version = w.version
  AND s.tenant_id = j.tenant_id AND s.priority = j.priority
{_LEARNED.format(tenant="j.tenant_id")}
WHERE w.model = :model AND w.version = :version AND w.ended_at IS NULL AND w.state = 'ready'
""")  # noqa: S608 - only constants are joined

# Released jobs with a lower turn. There are about two for each slot.
RELEASED = text(f"""
SELECT j.tenant_id, j.priority, j.max_tokens, {_FILL}
FROM (SELECT tenant_id, priority, max_tokens, turn FROM jobs
      WHERE model = :model AND version = :version AND state = 'queued'
        AND released_at IS NOT NULL AND turn < :turn ORDER BY turn LIMIT :most) j
LEFT JOIN fair_shares s ON s.model = :model AND s.version = :version
  AND s.tenant_id = j.tenant_id AND s.priority = j.priority
{_LEARNED.format(tenant="j.tenant_id")}
ORDER BY j.turn
""")  # noqa: S608 - only constants are joined

# What waits of the job's own flow before it.
OWN = text("""
SELECT count(*)::int AS jobs, coalesce(sum(prompt_tokens), 0)::int8 AS prompt_tokens,
       coalesce(sum(max_tokens), 0)::int8 AS max_tokens,
       (array_agg(floor ORDER BY rank))[1] AS floor
FROM (SELECT prompt_tokens, max_tokens, floor, rank FROM jobs
      WHERE model = :model AND version = :version AND tenant_id = :tenant_id
        AND priority = :priority AND state = 'queued' AND released_at IS NULL AND NOT held
        AND rank < :rank ORDER BY rank LIMIT :most) ahead
""")

# The other flows: found by leaps through the index of waiting jobs, one probe
# each, and counted up to an equal part of `most` rows in all.
FLOWS = text(f"""
WITH RECURSIVE {EVERY_FLOW}, flows AS MATERIALIZED (
  SELECT tenant_id, priority FROM flow
), part AS MATERIALIZED (
  SELECT greatest(4, :most / greatest(1, count(*)))::int8 AS rows, count(*) AS flows FROM flows
)
SELECT f.tenant_id, f.priority, coalesce(t.weight, 1)::float8 AS tenant_weight,
  coalesce(s.virtual, 0)::float8 AS virtual, {_FILL},
  w.floor, w.jobs, w.prompt_tokens, w.max_tokens, w.seen >= part.rows AS more,
  part.flows >= :most_flows AS cut
FROM flows f CROSS JOIN part
LEFT JOIN tenants t ON t.id = f.tenant_id
LEFT JOIN fair_shares s ON s.model = :model AND s.version = :version
  AND s.tenant_id = f.tenant_id AND s.priority = f.priority
{_LEARNED.format(tenant="f.tenant_id")}
CROSS JOIN LATERAL (
  SELECT count(*) AS seen, (count(*) FILTER (WHERE due))::int AS jobs,
    coalesce(sum(prompt_tokens) FILTER (WHERE due), 0)::int8 AS prompt_tokens,
    coalesce(sum(max_tokens) FILTER (WHERE due), 0)::int8 AS max_tokens,
    (array_agg(floor ORDER BY rank) FILTER (WHERE due))[1] AS floor
  FROM (SELECT prompt_tokens, max_tokens, floor, rank,
               run_at IS NULL OR run_at <= clock_timestamp() AS due
        FROM jobs WHERE model = :model AND version = :version AND tenant_id = f.tenant_id
          AND priority = f.priority AND state = 'queued' AND released_at IS NULL AND NOT held
        ORDER BY rank LIMIT (SELECT rows FROM part)) heads
) w
WHERE (f.tenant_id, f.priority) <> (:tenant_id, :priority)
""")  # noqa: S608 - only constants are joined

# Two waiting jobs for each model version: the first of a flow at random, and the one
# that was released last. Something foretold by chance, not by who asks.
SAMPLE = text("""
WITH chance AS MATERIALIZED (
  SELECT id AS tenant_id, (ARRAY['batch', 'interactive', 'normal'])[1 + floor(random() * 3)::int]
    AS priority
  FROM tenants ORDER BY random() LIMIT 1
), hosted AS MATERIALIZED (
  SELECT DISTINCT model, version FROM workers
  WHERE ended_at IS NULL AND lease_until > clock_timestamp() AND state = 'ready'
)
SELECT DISTINCT j.id, j.tenant_id FROM hosted m CROSS JOIN LATERAL (
  (SELECT * FROM (
    (SELECT id, tenant_id FROM jobs WHERE model = m.model AND version = m.version
       AND state = 'queued' AND released_at IS NULL AND NOT held
       AND (tenant_id, priority) >= ((SELECT tenant_id FROM chance), (SELECT priority FROM chance))
     ORDER BY tenant_id, priority, rank LIMIT 1)
    UNION ALL
    (SELECT id, tenant_id FROM jobs WHERE model = m.model AND version = m.version
       AND state = 'queued' AND released_at IS NULL AND NOT held
     ORDER BY tenant_id, priority, rank LIMIT 1)
  ) after_it LIMIT 1)
  UNION ALL
  (SELECT id, tenant_id FROM jobs WHERE model = m.model AND version = m.version
     AND state = 'queued' AND released_at IS NOT NULL ORDER BY turn DESC LIMIT 1)
) j
""")
