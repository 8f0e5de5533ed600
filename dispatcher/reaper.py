"""The reaper: takes jobs back from workers whose lease is over.

Idempotent and safe in several processes at once; a lease that its worker's
parent ended is seen here at the next look, one that ran out likewise.
"""

import logging

from sqlalchemy import Engine

from jobs import leases
from jobs.failpoints import reach
from jobs.states import State
from jobs.task_manager import TaskManager

log = logging.getLogger(__name__)


def reap(engine: Engine, task_manager: TaskManager) -> int:
    """Ends overdue leases and reclaims their jobs; returns how many wait again."""
    for worker_id in leases.end_overdue(engine):
        log.warning("worker %s did not renew its lease; its jobs go to others", worker_id)
    reach("dispatcher.reaping")
    for job_id in task_manager.expire():
        log.info("job %s waited too long and is expired", job_id)
    reclaimed = task_manager.reclaim()
    for job_id, state in reclaimed.items():
        log.warning("job %s lost its worker and is %s", job_id, state)
    return sum(state is State.QUEUED for state in reclaimed.values())
