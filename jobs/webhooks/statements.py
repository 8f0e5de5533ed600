"""The SQL of the outbox: who is told of an event, what is due, what came of an attempt."""

from sqlalchemy import text

# A UUID of version 7, as `jobs.ids.new_id` makes them: sorted by time.
_NEW_ID = """CAST(encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS int8)) FROM 3)
    FROM 1 FOR 6), 52, 1), 53, 1), 'hex') AS uuid)"""

# It follows from what is told: the same for every receiver, attempt and replay.
_EVENT_ID = """CAST(substr(encode(sha256(convert_to(t.type || ' ' || t.subject, 'UTF8')), 'hex'),
    1, 32) AS uuid)"""

# An event leaves the outbox with the statement that writes a delivery for each of
# its receivers. A background response has events by its own id beside its job's.
SPREAD = text(f"""
WITH event AS MATERIALIZED (
  DELETE FROM webhook_outbox WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM webhook_outbox LIMIT :at_once FOR UPDATE SKIP LOCKED)) RETURNING *
), told AS MATERIALIZED (
  SELECT e.tenant_id, e.at, 'job.' || j.state AS type, CAST(j.id AS text) AS subject,
         e.of_job -> 'webhook' AS own
  FROM event e JOIN jobs j ON j.id = e.job_id
  UNION ALL
  SELECT e.tenant_id, e.at,
         'response.' || CASE WHEN j.state = 'cancelled' THEN 'cancelled'
                             WHEN j.state <> 'succeeded' THEN 'failed'
                             WHEN j.finish_reason = 'length' THEN 'incomplete'
                             ELSE 'completed' END,
         'resp_' || replace(CAST(j.id AS text), '-', ''), NULL
  FROM event e JOIN jobs j ON j.id = e.job_id
  WHERE e.of_job -> 'response' = 'true'
  UNION ALL
  SELECT e.tenant_id, e.at, e.type, e.subject, NULL FROM event e WHERE e.job_id IS NULL
), spread AS (
  INSERT INTO webhook_deliveries
    (id, tenant_id, endpoint_id, url, lane, event_id, type, subject, created_at)
  SELECT {_NEW_ID}, t.tenant_id, r.endpoint_id, r.url, r.lane, {_EVENT_ID}, t.type, t.subject, t.at
  FROM told t CROSS JOIN LATERAL (
    SELECT w.id AS endpoint_id, NULL::text AS url, w.id AS lane FROM webhook_endpoints w
    WHERE w.tenant_id = t.tenant_id AND w.disabled_at IS NULL AND t.type = ANY (w.events)
    UNION ALL
    SELECT NULL, t.own ->> 'url', CAST(t.own ->> 'lane' AS uuid)
    WHERE t.own -> 'events' ? t.type
  ) r ORDER BY t.at
)
SELECT count(*) AS events FROM event
""")  # noqa: S608 - only constants are joined

# Of two processes that claim at once one goes away, so the bounds hold for both.
ALONE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('lmaas.webhooks', 0)) AS alone")

# From lane to lane by the index: a receiver with a long backlog hides no other.
# `(SELECT clock_timestamp())` is one moment for the statement, and usable by it.
CLAIM = text("""
WITH RECURSIVE lane AS (
  (SELECT lane, endpoint_id, 1 AS number FROM webhook_deliveries
   WHERE state = 'pending' AND lane > :after ORDER BY lane LIMIT 1)
  UNION ALL
  SELECT next.lane, next.endpoint_id, lane.number + 1 FROM lane CROSS JOIN LATERAL (
    SELECT d.lane, d.endpoint_id FROM webhook_deliveries d
    WHERE d.state = 'pending' AND d.lane > lane.lane ORDER BY d.lane LIMIT 1) next
  WHERE lane.number < :most_lanes
), held AS MATERIALIZED (
  SELECT lane, tenant_id FROM webhook_deliveries
  WHERE lease IS NOT NULL AND next_at > (SELECT clock_timestamp())
), head AS MATERIALIZED (
  SELECT h.id, h.next_at, h.tenant_id,
         row_number() OVER (PARTITION BY h.tenant_id ORDER BY h.next_at)
           + (SELECT count(*) FROM held WHERE held.tenant_id = h.tenant_id) AS place
  FROM lane l CROSS JOIN LATERAL (
    SELECT d.id, d.next_at, d.tenant_id FROM webhook_deliveries d
    WHERE d.state = 'pending' AND d.lane = l.lane AND d.next_at <= (SELECT clock_timestamp())
    ORDER BY d.next_at
    LIMIT greatest(0, :per_lane - (SELECT count(*) FROM held WHERE held.lane = l.lane))
  ) h
  WHERE l.endpoint_id IS NULL OR EXISTS (
    SELECT FROM webhook_endpoints w WHERE w.id = l.endpoint_id AND w.disabled_at IS NULL)
), chosen AS MATERIALIZED (
  SELECT d.id FROM head h JOIN webhook_deliveries d ON d.id = h.id
  WHERE h.place <= :per_tenant AND d.state = 'pending'
    AND d.next_at <= (SELECT clock_timestamp())
  ORDER BY h.next_at LIMIT :free FOR UPDATE OF d SKIP LOCKED
), taken AS (
  UPDATE webhook_deliveries d SET lease = :lease, tries = tries + 1,
    next_at = clock_timestamp() + make_interval(secs => :lease_s)
  FROM chosen WHERE d.id = chosen.id RETURNING d.*
)
SELECT (SELECT lane FROM lane ORDER BY number DESC LIMIT 1) AS last,
       (SELECT count(*) FROM lane) AS lanes,
       t.id, t.tenant_id, t.endpoint_id, coalesce(t.url, w.url) AS url, t.event_id, t.type,
       t.subject, t.created_at, t.tries, coalesce(w.secret, s.secret) AS secret,
       CASE WHEN coalesce(w.old_until, s.old_until) > clock_timestamp()
            THEN coalesce(w.old_secret, s.old_secret) END AS old_secret
FROM (VALUES (1)) one LEFT JOIN taken t ON true
LEFT JOIN webhook_endpoints w ON w.id = t.endpoint_id
LEFT JOIN webhook_signing_secrets s ON t.endpoint_id IS NULL AND s.tenant_id = t.tenant_id
""")

# Through the lease; the log, the totals and the receiver's health go with it.
MARK = text("""
WITH held AS MATERIALIZED (
  SELECT id, endpoint_id, give_up_at, clock_timestamp() AS now FROM webhook_deliveries
  WHERE id = :id AND lease = :lease AND state = 'pending' FOR UPDATE
), mine AS MATERIALIZED (
  SELECT id, endpoint_id, now, now + make_interval(secs => :pause_s) AS again_at,
    CASE WHEN :delivered THEN 'delivered'
         WHEN :gone OR now + make_interval(secs => :pause_s) >= give_up_at THEN 'failed'
         ELSE 'pending' END AS state
  FROM held
), marked AS (
  UPDATE webhook_deliveries d SET lease = NULL, state = mine.state, next_at = again_at,
    ended_at = CASE WHEN mine.state <> 'pending' THEN now END
  FROM mine WHERE d.id = mine.id
), log AS (
  INSERT INTO webhook_attempts (delivery_id, at, duration_ms, http_status, error_code, reason)
  SELECT id, now - make_interval(secs => :duration_s), round(:duration_s * 1000),
         CAST(:http_status AS int), CAST(:error_code AS text), CAST(:reason AS text) FROM mine
), counted AS (
  INSERT INTO counters AS c (name, model, version, value)
  SELECT name, '', 0, 1 FROM mine CROSS JOIN LATERAL (VALUES
    (CASE WHEN :delivered THEN 'webhooks_delivered' ELSE 'webhook_attempts_failed' END),
    (CASE WHEN mine.state = 'failed' THEN 'webhooks_given_up' END)) n(name)
  WHERE name IS NOT NULL ORDER BY name
  ON CONFLICT (name, model, version) DO UPDATE SET value = c.value + 1
), healthy AS (
  UPDATE webhook_endpoints w SET failures = 0, failing_since = NULL
  FROM mine WHERE w.id = mine.endpoint_id AND :delivered AND w.failures > 0
), failing AS (
  UPDATE webhook_endpoints w SET failures = failures + 1,
    failing_since = coalesce(failing_since, now),
    disabled_at = coalesce(disabled_at, CASE WHEN :gone OR (failures + 1 >= :most_failures
      AND failing_since < now - CAST(:failing AS interval)) THEN now END),
    disabled_reason = coalesce(disabled_reason, CASE WHEN :gone THEN 'gone'
      WHEN failures + 1 >= :most_failures
        AND failing_since < now - CAST(:failing AS interval) THEN 'failing' END)
  FROM mine WHERE w.id = mine.endpoint_id AND NOT :delivered
  RETURNING w.disabled_reason
)
SELECT mine.state, (SELECT disabled_reason FROM failing) AS disabled FROM mine
""")
