"""The outbox: INSERTs that stand in the very statement that makes an event true.

So an event is told if and only if what it tells is committed. Its id follows from
what it tells, so whatever is said twice is one event to its receiver. A tenant
without endpoints costs one look at an index, a job without a webhook of its own none.
"""

# A UUID of version 7, as `jobs.ids.new_id` makes them: sorted by time.
_NEW_ID = """CAST(encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS int8)) FROM 3)
    FROM 1 FOR 6), 52, 1), 53, 1), 'hex') AS uuid)"""

# The same for every receiver, every attempt and every replay of an event.
_EVENT_ID = """CAST(substr(encode(sha256(convert_to(t.type || ' ' || t.subject, 'UTF8')), 'hex'),
    1, 32) AS uuid)"""

_ENDPOINTS = """SELECT w.id AS endpoint_id, NULL::text AS url, w.id AS lane, w.events
    FROM webhook_endpoints w WHERE w.tenant_id = e.tenant_id AND w.disabled_at IS NULL"""

_OWN = """SELECT NULL::uuid, i.webhook ->> 'url', CAST(i.webhook ->> 'lane' AS uuid),
      ARRAY(SELECT jsonb_array_elements_text(i.webhook -> 'events'))
    FROM job_inputs i WHERE e.webhook AND i.job_id = e.id"""

# A background response is read by its own id, and has events by that.
_OF_JOBS = """SELECT 'job.' || e.state AS type, CAST(e.id AS text) AS subject
    UNION ALL
    SELECT 'response.' || CASE WHEN e.state = 'cancelled' THEN 'cancelled'
                               WHEN e.state <> 'succeeded' THEN 'failed'
                               WHEN e.finish_reason = 'length' THEN 'incomplete'
                               ELSE 'completed' END,
           'resp_' || replace(CAST(e.id AS text), '-', '')
    FROM job_inputs i WHERE i.job_id = e.id
      AND i.asked @> '{"route": "responses", "background": true}'"""


def announced_jobs(ended: str) -> str:
    """An INSERT of what is to be told of those jobs of the row set `ended` that
    ended; it has all columns of `jobs`."""
    receivers = f"{_ENDPOINTS}\n    UNION ALL\n    {_OWN}"
    only = "e.state IN ('succeeded', 'failed', 'cancelled', 'expired')"
    return _announced(ended, receivers, _OF_JOBS, only)


def announced(ended: str, *, type: str, subject: str, only: str = "true") -> str:  # noqa: A002
    """The same for what is no job, such as a batch: `type` and `subject` (the id
    that clients know) are SQL over a row `e` of `ended`, which has a `tenant_id`."""
    told = f"SELECT {type} AS type, {subject} AS subject"
    return _announced(ended, _ENDPOINTS, told, only)


def _announced(ended: str, receivers: str, told: str, only: str) -> str:
    return f"""  INSERT INTO webhook_deliveries
    (id, tenant_id, endpoint_id, url, lane, event_id, type, subject)
  SELECT {_NEW_ID}, e.tenant_id, r.endpoint_id, r.url, r.lane, {_EVENT_ID}, t.type, t.subject
  FROM {ended} e CROSS JOIN LATERAL (
    {receivers}
  ) r CROSS JOIN LATERAL (
    {told}
  ) t
  WHERE {only} AND t.type = ANY (r.events)"""  # noqa: S608 - only constants are joined
