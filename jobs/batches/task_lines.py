"""The part of the Task Manager that moves lines of batches."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Engine

from jobs.batches import appending, line_jobs, line_moves
from jobs.batches.envelopes import Chunk, TakenLine
from jobs.database import transact


class TaskLines:
    """See `jobs.task_manager.TaskManager`."""

    _engine: Engine

    def submit_many(self, chunk: Chunk, lease_s: float) -> bool:
        """Accepts the lines of a batch, and how far its file is read with them, all or
        none. False, and nothing is added, if the batch is no longer held by who read
        them, has another status, or has them already."""
        return line_jobs.submit(self._engine, chunk, lease_s)

    def cancel_lines(self) -> tuple[list[UUID], bool]:
        """Cancels a bounded number of the lines of batches that are being cancelled;
        returns which, and whether there may be more. Safe in several processes at once."""
        return line_jobs.cancel(self._engine)

    def append_lines(
        self, tenant_id: UUID, batch_id: UUID, lines: Sequence[TakenLine], raw: Sequence[bytes]
    ) -> int:
        """Adds lines to an open batch, but for those whose custom_id it has; how many.
        Raises `BatchClosed` or `TooManyLines`."""
        return transact(
            self._engine, lambda c: appending.append(c, tenant_id, batch_id, lines, raw)
        )

    def settle_lines(self, batch_id: UUID | None = None) -> bool:
        """Holds, frees or moves a piece of the waiting lines of a batch (of any, by
        default) as its owner wants it; True if there may be more to do. Safe in several
        processes at once."""
        return line_moves.settle(self._engine, batch_id)

    def find_strays(self) -> None:
        """Looks for lines of paused batches that came back to the queue; `settle_lines`
        holds them."""
        line_moves.find_strays(self._engine)
