"""Looks at the system from outside, every two seconds, for people.

Leaves in Postgres that a dispatcher is at work and whether Redis answers it, and
now and then foretells a waiting job, so that the estimate's error is known
before somebody asks. Nothing that runs depends on it.
"""

import itertools
import logging

from sqlalchemy import Engine

from bells.hints import Hints
from jobs.outlook import components, predictions
from jobs.outlook import look as outlook
from jobs.outlook.facts import subject_of

# Every so many looks, a sample of one or two jobs for each model version.
_SAMPLE_EVERY = 5

log = logging.getLogger(__name__)


class Observer:
    """See the module. Safe in several processes at once."""

    def __init__(self, engine: Engine, hints: Hints) -> None:
        self._engine = engine
        self._hints = hints
        self._looks = itertools.count(1)

    def look(self) -> None:
        """One look. Raises `DatabaseUnavailable`."""
        components.seen(self._engine, components.DISPATCHER, broker_ok=self._hints.ping())
        if next(self._looks) % _SAMPLE_EVERY == 0:
            self.foretell()

    def foretell(self) -> int:
        """Predicts a job or two of each model version; returns how many."""
        told = 0
        for row in outlook.samples(self._engine):
            job = outlook.read_job(self._engine, row.tenant_id, row.id)
            if job is not None:
                seen = outlook.look(self._engine, subject_of(job))
                told += predictions.record(self._engine, row.id, "sample", seen)
        return told
