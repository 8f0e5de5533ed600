"""The SQL of limits. All of it works on one tenant's row; the clock is Postgres' own."""

from sqlalchemy import text

# Admits all of what is asked for, or nothing, under the row's lock: exact over all
# processes. The window moves on by as many seconds as have passed. It is not run in
# the transaction of the submit, which would hold the lock until the disk has answered.
ADMIT = text("""
WITH seen AS MATERIALIZED (
  SELECT *, floor(extract(epoch FROM clock_timestamp()))::int8 AS now_s
  FROM tenant_quotas WHERE tenant_id = :tenant_id FOR UPDATE
), moved AS MATERIALIZED (
  SELECT seen.*, (fresh || window_requests)[1:61] AS requests,
         (fresh || window_tokens)[1:61] AS tokens
  FROM seen CROSS JOIN LATERAL (
    SELECT array_fill(0::int8, ARRAY[least(61, greatest(0, now_s - window_s))::int]) AS fresh) f
), used AS MATERIALIZED (
  SELECT *, (SELECT sum(n) FROM unnest(requests) n)::int8 AS used_requests,
         (SELECT sum(n) FROM unnest(tokens) n)::int8 AS used_tokens,
         folded_jobs + admitted_jobs AS waiting_jobs,
         folded_tokens + admitted_tokens AS waiting_tokens
  FROM moved
), verdict AS MATERIALIZED (
  SELECT *, CASE
    WHEN used_requests + :requests > requests_per_minute THEN 'requests_per_minute'
    WHEN used_tokens + :rated_tokens > tokens_per_minute THEN 'tokens_per_minute'
    WHEN waiting_jobs + :jobs_at_once > queued_jobs THEN 'queued_jobs'
    WHEN waiting_tokens + :tokens_at_once > queued_tokens THEN 'queued_tokens'
  END AS exceeded FROM used
), admitted AS (
  UPDATE tenant_quotas q SET
    window_s = greatest(v.window_s, v.now_s),
    window_requests = ARRAY[v.requests[1] + :requests] || v.requests[2:61],
    window_tokens = ARRAY[v.tokens[1] + :rated_tokens] || v.tokens[2:61],
    admitted_jobs = v.admitted_jobs + :jobs, admitted_tokens = v.admitted_tokens + :tokens
  FROM verdict v WHERE q.tenant_id = v.tenant_id AND v.exceeded IS NULL
)
SELECT requests_per_minute, tokens_per_minute, queued_jobs, queued_tokens, storage_bytes,
       exceeded, requests, tokens, waiting_jobs, waiting_tokens
FROM verdict
""")

# Tenants whose queued work has to be counted: those that come near a limit, as far as
# is known without counting; those never counted; and all others once a minute.
DUE = text("""
SELECT tenant_id FROM tenant_quotas
WHERE (queued_jobs IS NOT NULL OR queued_tokens IS NOT NULL)
  AND (folded_at IS NULL OR folded_at < clock_timestamp() - interval '1 minute'
    OR (folded_at < clock_timestamp() - interval '0.9 seconds'
      AND (2 * (folded_jobs + admitted_jobs) >= queued_jobs
        OR 2 * (folded_tokens + admitted_tokens) >= queued_tokens)))
ORDER BY folded_at NULLS FIRST LIMIT 1000
""")

# Counts what waits and takes off what had been admitted when it was counted: one
# snapshot for both. What was admitted by then and is not yet a row is in flight; it is
# all that can be missed. No more is counted than the limit needs. Of two at once one
# finds that the other was first.
FOLD = text("""
WITH seen AS MATERIALIZED (
  SELECT tenant_id, queued_jobs, admitted_jobs, admitted_tokens, folded_at
  FROM tenant_quotas WHERE tenant_id = :tenant_id
), waiting AS MATERIALIZED (
  SELECT count(*) AS jobs, coalesce(sum(prompt_tokens + max_tokens), 0) AS tokens FROM (
    SELECT prompt_tokens, max_tokens FROM jobs
    WHERE tenant_id = :tenant_id AND state = 'queued'
    LIMIT (SELECT queued_jobs + 1 FROM seen)) enough
)
UPDATE tenant_quotas q SET folded_jobs = w.jobs, folded_tokens = w.tokens,
  admitted_jobs = q.admitted_jobs - s.admitted_jobs,
  admitted_tokens = q.admitted_tokens - s.admitted_tokens,
  folded_at = clock_timestamp()
FROM seen s, waiting w
WHERE q.tenant_id = s.tenant_id AND q.folded_at IS NOT DISTINCT FROM s.folded_at
RETURNING q.folded_jobs
""")
