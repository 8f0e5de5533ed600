"""How long clients wait for the first token of a job, and for each one after it.

Of a job: from its own row, once it has ended. Of all jobs, streamed or not: the end of a
job writes both into its settlement, and the statement that takes settlements out adds them
to the totals here (`jobs.shares.statements.SETTLE`). So each job counts once, whatever is
killed between, and its end is no statement longer.

The first token is that of the attempt that ended, counted from the acceptance: retries, a
`run_at` and the queue are in it. The time between tokens is the job's mean. Several
completions of a job run one after the other in one slot, so what is between two of them
(the prompt is read again) is in the mean too.
"""

import math
from dataclasses import dataclass

from sqlalchemy import Engine, text

from jobs.database import run
from jobs.job_views import JobView

FIRST, BETWEEN = "first_token", "inter_token"

# Upper bounds of the histograms, in seconds: from a token of a small model on a large
# device to a line of a batch that waits for a day.
BOUNDS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0, math.inf,
)  # fmt: skip

# Of a row of `jobs` that has just changed; NULL where there is nothing to tell.
OF_ROW = """extract(epoch FROM first_token_at - submitted_at)::float8,
         extract(epoch FROM finished_at - first_token_at)::float8
           / nullif(greatest(completion_tokens, 1) - 1, 0)"""

_FINITE = ", ".join(str(bound) for bound in BOUNDS_S[:-1])

# The part of `SETTLE` that counts. Times are measured: none is a bound to the last bit,
# so it does not matter on which side of one `width_bucket` puts what is equal to it.
TIMED = f"""
, by_bound AS MATERIALIZED (
  SELECT model, version, priority, kind,
         (ARRAY[{_FINITE}, 'Infinity']::float8[])[
           1 + width_bucket(took_s, ARRAY[{_FINITE}]::float8[])] AS within_s,
         count(*) AS jobs, sum(took_s) AS took_s
  FROM ended CROSS JOIN LATERAL (
    VALUES ('{FIRST}', first_token_s), ('{BETWEEN}', inter_token_s)) each(kind, took_s)
  WHERE took_s IS NOT NULL GROUP BY 1, 2, 3, 4, 5
), timed AS (
  INSERT INTO token_times AS t (model, version, priority, kind, within_s, jobs, took_s)
  SELECT model, version, priority, kind, within_s, jobs, took_s
  FROM by_bound ORDER BY model, version, priority, kind, within_s
  ON CONFLICT (model, version, priority, kind, within_s) DO UPDATE
    SET jobs = t.jobs + excluded.jobs, took_s = t.took_s + excluded.took_s
)"""  # noqa: S608 - only constants are joined

_READ = text("""
SELECT model, version, priority, kind, within_s, jobs, took_s FROM token_times
ORDER BY model, version, priority, kind, within_s
""")


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """Jobs of one class whose time of one `kind` was within a bound and above the next
    smaller one, and the sum of these times."""

    model: str
    version: int
    priority: str
    kind: str
    within_s: float
    jobs: int
    took_s: float


def totals(engine: Engine) -> list[TokenTimes]:
    """All of them, as far as ends are settled: up to a quarter of a second ago."""
    return [TokenTimes(*row) for row in run(engine, _READ, {})]


def first_token_s(view: JobView) -> float | None:
    """From the acceptance to the first token; None if there is none, or none yet."""
    if view.first_token_at is None:
        return None
    return (view.first_token_at - view.submitted_at).total_seconds()


def inter_token_s(view: JobView) -> float | None:
    """The mean between tokens after the first; None with fewer than two."""
    tokens = view.completion_tokens or 0
    if view.first_token_at is None or view.finished_at is None or tokens < 2:
        return None
    return (view.finished_at - view.first_token_at).total_seconds() / (tokens - 1)
