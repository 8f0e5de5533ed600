"""What passes between those who move batches: frozen values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from jobs.envelopes import NewJob
from jobs.states import Priority

# An error as it stands in a line of the error file, or in `errors` of a batch.
Fault = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as it is asked for. Without an input file its lines are appended."""

    id: UUID
    tenant_id: UUID
    endpoint: str
    input_file_id: UUID | None
    window: str
    window_s: int
    client_address: str
    priority: Priority = Priority.BATCH
    labels: Mapping[str, str] = field(default_factory=dict)
    output_expires_after_s: int | None = None
    open: bool = False
    dedupe: bool = False
    retry_of: UUID | None = None
    overrides: Mapping[str, Any] | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class TakenLine:
    """A line that becomes a row: with its job, or with what it is refused for.
    One like an earlier line (`same_as`) has that one's job and brings none."""

    line: int
    custom_id: str | None
    job: NewJob | None = None
    fault: Fault | None = None
    same_as: int | None = None
    same_job: UUID | None = None
    # What equal lines have in common (`jobs.batches.equals`), where that is asked for.
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a file is read: bytes, and lines as an editor counts them."""

    bytes: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines of a file, and how far it is read with them. `ended`: they are the last."""

    batch_id: UUID
    taken_by: UUID
    status: str
    start: Reach
    end: Reach
    lines: Sequence[TakenLine]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the lines of a batch are, at one moment; the parts make up `total`."""

    total: int
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    refused: int = 0

    @property
    def unread(self) -> int:
        """Lines that were counted in the file and are not taken in yet."""
        return self.total - self.refused - self.open - self.ended_jobs

    @property
    def open(self) -> int:
        """Lines whose jobs have not ended."""
        return self.queued + self.running

    @property
    def ended_jobs(self) -> int:
        """Lines whose jobs have."""
        return self.succeeded + self.unsuccessful

    @property
    def unsuccessful(self) -> int:
        """Lines whose jobs ended in another way than they should."""
        return self.failed + self.cancelled + self.expired
