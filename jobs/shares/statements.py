"""The SQL of release: what waits in each flow, what is let through, what it cost.

Used by the Task Manager alone; `jobs.shares.fair_share` decides between the two halves
of a release, and `model_clocks.epoch` sees to it that nobody else did meanwhile.
"""

from sqlalchemy import text

from jobs.states import CLASS_OFFSET_S, CLASS_WEIGHT
from jobs.token_times import OF_ROW, TIMED
from jobs.usage import USED


def settled(
    ended: str, *, only: str = "true", tokens: str = "0", service_s: str = "NULL::float8"
) -> str:
    """An INSERT of what those jobs of the row set `ended` were charged and used: for
    their flows, and for their tenants' usage. Whatever ends a job has it in its statement."""
    return f"""  INSERT INTO settlements
  SELECT model, version, tenant_id, priority, charged,
         CASE WHEN {tokens} > 0 OR state = 'succeeded' THEN prompt_tokens ELSE 0 END,
         {tokens}, max_tokens, {service_s}, state, CAST(finished_at AT TIME ZONE 'UTC' AS date),
         {OF_ROW}
  FROM {ended} WHERE {only}"""  # noqa: S608 - only constants are joined


def _by_class(values: dict[str, float]) -> str:
    cases = " ".join(f"WHEN '{name}' THEN {value}" for name, value in values.items())
    return f"(CASE f.priority {cases} END)"


_OFFSET_S = _by_class({name.value: offset for name, offset in CLASS_OFFSET_S.items()})
_WEIGHT = _by_class({name.value: weight for name, weight in CLASS_WEIGHT.items()})

_WAITING = """model = :model AND version = :version
  AND state = 'queued' AND released_at IS NULL AND NOT held"""

# From flow to flow by the index, without reading the jobs between: at most `:most_flows`.
EVERY_FLOW = f"""
flow AS (
  (SELECT tenant_id, priority, 1 AS number FROM jobs WHERE {_WAITING}
   ORDER BY tenant_id, priority LIMIT 1)
  UNION ALL
  SELECT next.tenant_id, next.priority, flow.number + 1 FROM flow CROSS JOIN LATERAL (
    SELECT tenant_id, priority FROM jobs WHERE {_WAITING}
      AND (tenant_id, priority) > (flow.tenant_id, flow.priority)
    ORDER BY tenant_id, priority LIMIT 1) next
  WHERE flow.number < :most_flows
)"""  # noqa: S608 - only constants are joined

# Given in order, those that were given least first: as many as there is room
# for, and a few, because one that has just come may go before what is released.
_THESE_FLOWS = """
flow AS (
  SELECT tenant_id, priority
  FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:priorities AS text[]))
    WITH ORDINALITY f(tenant_id, priority, number)
  WHERE number <= :target - (SELECT count(*) FROM released) + 2
)"""

_RELEASED = """
released AS MATERIALIZED (
  SELECT turn, released_at FROM jobs WHERE model = :model AND version = :version
    AND state = 'queued' AND released_at IS NOT NULL ORDER BY turn LIMIT :target
)"""

# One row. A job for later has a later rank too, behind its time by its class'
# offset at most, so the bound on rank keeps the scan from walking over those.
_CHOICES = f"""
, each AS MATERIALIZED (
  SELECT greatest(:least, CASE count(*) WHEN 1 THEN 1 ELSE 2 END
                          * (:target - (SELECT count(*) FROM released))
                          / greatest(1, count(*))) AS most FROM flow
), waiting AS (
  SELECT f.tenant_id, f.priority, coalesce(t.weight, 1) AS weight,
         coalesce(s.virtual, 0) AS virtual, coalesce(s.fill, 1) AS fill, heads.jobs
  FROM flow f
  LEFT JOIN tenants t ON t.id = f.tenant_id
  LEFT JOIN LATERAL (  -- by its key: a hash join would read the shares of all tenants
    SELECT virtual, fill FROM fair_shares WHERE model = :model AND version = :version
      AND tenant_id = f.tenant_id AND priority = f.priority LIMIT 1) s ON true
  CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(id, extract(epoch FROM rank)::float8, floor,
                                     prompt_tokens, max_tokens)) AS jobs
    FROM (SELECT id, rank, floor, prompt_tokens, max_tokens FROM jobs
          WHERE {_WAITING} AND tenant_id = f.tenant_id AND priority = f.priority
            AND rank <= clock_timestamp() + make_interval(secs => {_OFFSET_S})
            AND (run_at IS NULL OR run_at <= clock_timestamp())
            AND (expires_at IS NULL OR expires_at > clock_timestamp())
          ORDER BY rank LIMIT (SELECT most FROM each)) best
  ) heads
)
SELECT coalesce(c.epoch, 0) AS epoch, coalesce(c.floor, 0) AS floor, coalesce(c.last, 0) AS last,
  ARRAY(SELECT turn FROM released ORDER BY turn) AS released,
  EXISTS (SELECT FROM released
          WHERE released_at < clock_timestamp() - interval '50 milliseconds') AS backlog,
  (SELECT count(*) FROM flow) AS flows,
  (SELECT most FROM each) AS each,
  (SELECT json_agg(json_build_array(tenant_id, priority, weight, virtual, fill, jobs))
   FROM waiting WHERE jobs IS NOT NULL) AS waiting
FROM (VALUES (1)) one LEFT JOIN model_clocks c ON c.model = :model AND c.version = :version
"""  # noqa: S608 - only constants are joined

CHOICES = text(f"WITH RECURSIVE {_RELEASED}, {EVERY_FLOW}{_CHOICES}")
CHOICES_AMONG = text(f"WITH {_RELEASED}, {_THESE_FLOWS}{_CHOICES}")

FLOWS = text(f"""
WITH RECURSIVE {EVERY_FLOW}
SELECT f.tenant_id, f.priority, coalesce(s.virtual, 0) AS virtual
FROM flow f LEFT JOIN fair_shares s ON s.model = :model AND s.version = :version
  AND s.tenant_id = f.tenant_id AND s.priority = f.priority
""")  # noqa: S608 - only constants are joined

# What was decided, unless somebody released since it was read: a compare-and-set
# on the clock. Rows are looked at again under their lock.
RELEASE = text("""
WITH mine AS (
  INSERT INTO model_clocks AS c (model, version, epoch, floor, last)
  VALUES (:model, :version, :epoch + 1, :floor, :last)
  ON CONFLICT (model, version) DO UPDATE
    SET epoch = c.epoch + 1, floor = excluded.floor, last = excluded.last WHERE c.epoch = :epoch
  RETURNING epoch
), chosen AS MATERIALIZED (
  SELECT id FROM jobs WHERE id = ANY (CAST(:ids AS uuid[])) AND EXISTS (SELECT FROM mine)
    AND state = 'queued' AND released_at IS NULL AND NOT held
  ORDER BY id FOR UPDATE SKIP LOCKED
), charge AS (
  INSERT INTO fair_shares AS s (model, version, tenant_id, priority, virtual)
  SELECT :model, :version, tenant_id, priority, advance
  FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:priorities AS text[]),
              CAST(:advances AS float8[])) f(tenant_id, priority, advance)
  WHERE EXISTS (SELECT FROM mine) ORDER BY tenant_id, priority
  ON CONFLICT (model, version, tenant_id, priority) DO UPDATE
    SET virtual = s.virtual + excluded.virtual
), due AS (  -- what was for later gets its place among the waiting now
  UPDATE jobs SET floor = :floor WHERE id = ANY (CAST(:due_ids AS uuid[]))
    AND state = 'queued' AND released_at IS NULL AND floor IS NULL AND EXISTS (SELECT FROM mine)
)
UPDATE jobs j SET released_at = clock_timestamp(), turn = p.turn, charged = p.charged
FROM unnest(CAST(:ids AS uuid[]), CAST(:turns AS float8[]), CAST(:charges AS int[]))
  p(id, turn, charged)
WHERE j.id = p.id AND j.id = ANY (ARRAY(SELECT id FROM chosen))
RETURNING j.id
""")

# What ended since the last look: gives back what was charged too much, learns how much
# of `max_tokens` a flow uses and how fast a slot is, and adds to the tenants' usage and to
# the times of tokens. A settlement goes and is counted in this one statement, or neither.
SETTLE = text(f"""
WITH ended AS MATERIALIZED (
  DELETE FROM settlements WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM settlements LIMIT 5000 FOR UPDATE SKIP LOCKED)) RETURNING *
), by_flow AS MATERIALIZED (
  SELECT model, version, tenant_id, priority, count(service_s) AS jobs,
         coalesce(sum(charged - prompt_tokens - completion_tokens)
                    FILTER (WHERE charged > 0), 0) AS excess,
         least(1, sum(completion_tokens) FILTER (WHERE service_s IS NOT NULL)::float8
           / nullif(sum(max_tokens) FILTER (WHERE service_s IS NOT NULL), 0)) AS fill
  FROM ended GROUP BY model, version, tenant_id, priority
), ordered AS MATERIALIZED (
  SELECT f.model, f.version, f.tenant_id, f.priority, f.jobs, f.fill,
         f.excess / (coalesce(t.weight, 1) * {_WEIGHT}) AS back
  FROM fair_shares s JOIN by_flow f USING (model, version, tenant_id, priority)
  LEFT JOIN tenants t ON t.id = f.tenant_id
  ORDER BY f.model, f.version, f.tenant_id, f.priority FOR UPDATE OF s
), flows AS (
  UPDATE fair_shares s SET virtual = s.virtual - o.back,
    fill = coalesce(s.fill + (o.fill - s.fill) * (1 - 0.9 ^ o.jobs), o.fill, s.fill)
  FROM ordered o WHERE s.model = o.model AND s.version = o.version
    AND s.tenant_id = o.tenant_id AND s.priority = o.priority
), pace AS MATERIALIZED (
  SELECT model, version, count(*) AS jobs,
         sum(completion_tokens) / nullif(sum(service_s), 0) AS tokens_per_s
  FROM ended WHERE service_s IS NOT NULL GROUP BY model, version
), clocks AS (
  UPDATE model_clocks c SET slot_tokens_per_s =
    coalesce(c.slot_tokens_per_s + (p.tokens_per_s - c.slot_tokens_per_s) * (1 - 0.98 ^ p.jobs),
             p.tokens_per_s, c.slot_tokens_per_s)
  FROM pace p WHERE c.model = p.model AND c.version = p.version
)
{USED}{TIMED}
SELECT count(*) AS ended FROM ended
""")  # noqa: S608 - only constants are joined
