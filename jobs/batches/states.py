"""The states of a batch and the only ways between them.

The graph in docs/batches.md is tested to be this table, and a trigger in Postgres
refuses what is not in it.
"""

from enum import StrEnum


class BatchState(StrEnum):
    """Where a batch stands, in the words of OpenAI's API."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


BATCH_TRANSITIONS: dict[BatchState, frozenset[BatchState]] = {
    # The file is read once for its size; `failed` is a file that nothing can be done with,
    # `completed` a dry run, which does no more than that.
    BatchState.VALIDATING: frozenset(
        {
            BatchState.IN_PROGRESS,
            BatchState.FAILED,
            BatchState.CANCELLING,
            BatchState.COMPLETED,
        }
    ),
    # Lines are taken in and run, at the same time.
    BatchState.IN_PROGRESS: frozenset({BatchState.FINALIZING, BatchState.CANCELLING}),
    # No line is open any more; the output files are written. `failed`: the file could
    # not be read to its end, and the lines before that are answered all the same.
    BatchState.FINALIZING: frozenset({BatchState.COMPLETED, BatchState.EXPIRED, BatchState.FAILED}),
    # Waiting lines are ended, running ones end at their next step, files are written.
    BatchState.CANCELLING: frozenset({BatchState.CANCELLED}),
    BatchState.COMPLETED: frozenset(),
    BatchState.FAILED: frozenset(),
    BatchState.EXPIRED: frozenset(),
    BatchState.CANCELLED: frozenset(),
}

BATCH_TERMINAL: frozenset[BatchState] = frozenset(
    state for state, to in BATCH_TRANSITIONS.items() if not to
)


def before(state: BatchState) -> list[str]:
    """The states from which a batch may come to this one."""
    return [at.value for at, to in BATCH_TRANSITIONS.items() if state in to]
