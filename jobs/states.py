"""The states of a job and the only ways between them.

The graph in docs/life-of-a-job.md is tested to be this table, and a trigger in
Postgres refuses what is not in it.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a job stands. What somebody wants of it (a cancel) is a flag, not a state."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED, State.EXPIRED}),
    State.RUNNING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED, State.QUEUED}
    ),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}

TERMINAL: frozenset[State] = frozenset(state for state, to in TRANSITIONS.items() if not to)


class Priority(StrEnum):
    """The class of a job: how much of a busy model it gets beside the others."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"


# Tokens that a busy model gives to interactive work for each token of batch work
# that waits as well. Batch work fills what the others leave and steps back when
# they come, but never stands still (docs/decisions/0006).
CLASS_WEIGHT: dict[Priority, float] = {
    Priority.INTERACTIVE: 64.0,
    Priority.NORMAL: 8.0,
    Priority.BATCH: 1.0,
}

# Seconds added to the time of submit, in a job's rank: by how much a job with a
# deadline may be ahead of its own class' earlier jobs.
CLASS_OFFSET_S: dict[Priority, float] = {
    Priority.INTERACTIVE: 0.0,
    Priority.NORMAL: 30.0,
    Priority.BATCH: 600.0,
}
