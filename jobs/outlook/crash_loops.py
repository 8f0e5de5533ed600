"""Crash loops: workers of a model version that die again and again.

Read from the rows of dead workers, so it survives every restart. A loop is
told to people; what a restarted worker does about it is `careful`.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from jobs.database import run

WINDOW_S = 600.0
# So many deaths within the window are told as a loop.
LOOP = 3
# So many without a finished job in between, and the next worker proves its
# engine before it takes a job: one less than would charge a lone job for good.
CAREFUL = 2
# A worker that has worked in peace for this long has ended the loop.
_PEACE_S = 60.0

_READ = text("""
SELECT d.model, d.version, count(*)::int AS deaths, max(d.ended_at) AS last_at,
  (array_agg(d.exit_code ORDER BY d.ended_at DESC))[1] AS exit_code,
  (count(*) FILTER (WHERE p.proven_at IS NULL OR d.ended_at > p.proven_at))::int AS since_proof,
  count(*) >= :loop AND NOT coalesce(p.proven_at > max(d.ended_at)
    AND p.proven_at < clock_timestamp() - make_interval(secs => :peace_s), false) AS looping
FROM workers d LEFT JOIN (
  SELECT model, version, max(proven_at) AS proven_at FROM workers
  WHERE proven_at IS NOT NULL GROUP BY model, version
) p ON p.model = d.model AND p.version = d.version
WHERE d.died AND d.ended_at > clock_timestamp() - make_interval(secs => :window_s)
  AND (CAST(:model AS text) IS NULL OR (d.model = :model AND d.version = :version))
GROUP BY d.model, d.version, p.proven_at ORDER BY d.model, d.version
""")


@dataclass(frozen=True, slots=True)
class Crashes:
    """Deaths of a model version's workers in the last `WINDOW_S` seconds.
    `since_proof`: those after which no worker has finished a job."""

    model: str
    version: int
    deaths: int
    last_at: datetime
    exit_code: int | None
    since_proof: int
    looping: bool

    @property
    def careful(self) -> bool:
        """Whether a worker that starts now should first see if its engine works."""
        return self.since_proof >= CAREFUL


def read_all(engine: Engine) -> list[Crashes]:
    """Every model version whose workers died lately."""
    return _read(engine, None, None)


def read(engine: Engine, model: str, version: int) -> Crashes | None:
    """The same for one model version; None if none died."""
    return next(iter(_read(engine, model, version)), None)


def _read(engine: Engine, model: str | None, version: int | None) -> list[Crashes]:
    values = {"model": model, "version": version, "loop": LOOP, "peace_s": _PEACE_S,
              "window_s": WINDOW_S}  # fmt: skip
    return [Crashes(*row) for row in run(engine, _READ, values)]
