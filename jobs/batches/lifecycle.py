"""What happens to a batch as a whole, from its creation to its end.

Its jobs are the Task Manager's. Whoever reads its file or writes its outputs holds
it meanwhile, for `LEASE_S` at a time; what a holder does after that changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, TextClause

from jobs.batches import statements
from jobs.batches.envelopes import Fault, NewBatch
from jobs.database import run
from jobs.envelopes import Idempotency
from jobs.task_manager import TaskManager

# Renewed with every chunk and page; whoever is killed is missed for this long.
LEASE_S = 4.0


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A batch that one housekeeper works on."""

    taken_by: UUID
    id: UUID
    tenant_id: UUID
    endpoint: str
    input_file_id: UUID | None
    status: str
    priority: str
    client_address: str
    output_expires_after_s: int | None
    lines: int
    intake_bytes: int
    intake_line: int
    dedupe: bool
    overrides: dict[str, Any] | None
    retry_of: UUID | None

    @property
    def key(self) -> dict[str, Any]:
        """What every statement about it compares with."""
        return {"id": self.id, "taken_by": self.taken_by, "lease_s": LEASE_S}


def create(engine: Engine, new: NewBatch, idempotency: Idempotency | None = None) -> UUID:
    """Accepts a batch; on return it is durable. With the key of an earlier batch:
    that one's id, and nothing is added. Raises `IdempotencyConflict`."""
    values = _values(new)
    if idempotency is None:
        run(engine, statements.CREATE, values)
        return new.id
    values |= {"key": idempotency.key, "body_sha256": idempotency.body_sha256}
    if run(engine, statements.CREATE_ONCE, values):
        return new.id
    known = TaskManager(engine).recall(new.tenant_id, idempotency)
    # None: the key was forgotten between the two looks, so now it is new.
    return create(engine, new, idempotency) if known is None else known


def _values(new: NewBatch) -> dict[str, Any]:
    return {
        "id": new.id,
        "tenant_id": new.tenant_id,
        "endpoint": new.endpoint,
        "input_file_id": new.input_file_id,
        "window": new.window,
        "window_s": new.window_s,
        "priority": new.priority.value,
        "labels": json.dumps(dict(new.labels)),
        "client_address": new.client_address,
        "output_expires_after_s": new.output_expires_after_s,
        "open": new.open,
        "dedupe": new.dedupe,
        "retry_of": new.retry_of,
        "overrides": None if new.overrides is None else json.dumps(dict(new.overrides)),
        "dry_run": new.dry_run,
        # Without a file there is nothing to validate.
        "status": "in_progress" if new.open and new.input_file_id is None else "validating",
    }


def cancel(engine: Engine, tenant_id: UUID, batch_id: UUID) -> bool:
    """Asks for the end of a batch; False if there is nothing left to cancel."""
    return bool(run(engine, statements.CANCEL, {"id": batch_id, "tenant_id": tenant_id}))


def take_to_read(engine: Engine, taken_by: UUID) -> HeldBatch | None:
    """A batch whose file is not read to its end and that nobody holds."""
    return _take(engine, statements.TAKE_TO_READ, taken_by)


def take_to_write(engine: Engine, taken_by: UUID) -> HeldBatch | None:
    """A batch whose lines have all ended, and whose output files are due."""
    return _take(engine, statements.TAKE_TO_WRITE, taken_by)


def take_to_gather(engine: Engine, taken_by: UUID) -> HeldBatch | None:
    """A batch of retried lines whose file is not there yet."""
    return _take(engine, statements.TAKE_TO_GATHER, taken_by)


def take_to_try(engine: Engine, taken_by: UUID) -> HeldBatch | None:
    """A dry run whose file is not read to its end."""
    return _take(engine, statements.TAKE_TO_TRY, taken_by)


def gathered(engine: Engine, batch: HeldBatch, file_id: UUID) -> bool:
    """Its file is there and may be read like any other."""
    return bool(run(engine, statements.GATHERED, batch.key | {"file_id": file_id}))


def tried(engine: Engine, batch: HeldBatch, report: Mapping[str, Any]) -> bool:
    """Ends a dry run with what it found out."""
    return bool(run(engine, statements.TRIED, batch.key | {"report": json.dumps(report)}))


def _take(engine: Engine, statement: TextClause, taken_by: UUID) -> HeldBatch | None:
    rows = run(engine, statement, {"taken_by": taken_by, "lease_s": LEASE_S})
    return HeldBatch(taken_by, *rows[0]) if rows else None


def keep(engine: Engine, batch: HeldBatch) -> bool:
    """Holds it for longer; False if another one has it."""
    return bool(run(engine, statements.KEEP, batch.key))


def let_go(engine: Engine, batch: HeldBatch, pause_s: float = 0.0) -> None:
    """Holds it no longer; nobody takes it for `pause_s`."""
    run(engine, statements.LET_GO, batch.key | {"pause_s": pause_s})


def begin(engine: Engine, batch: HeldBatch, lines: int) -> bool:
    """Its file was counted; its lines may be taken in now."""
    return bool(run(engine, statements.BEGIN, batch.key | {"lines": lines}))


def fail(engine: Engine, batch: HeldBatch, faults: Sequence[Fault]) -> None:
    """Its file as a whole is of no use. Of one that was begun, the lines before
    stay and end as they may."""
    statement = statements.BREAK_OFF if batch.lines else statements.FAIL
    run(engine, statement, batch.key | {"error": json.dumps([dict(f) for f in faults])})


@dataclass(frozen=True, slots=True)
class Standing:
    """What a chunk of lines must know: the batch's status, whether its window is
    over, whether it is still held and to be read from byte `at`, and which custom_ids
    it has already."""

    status: str
    over: bool
    at: int
    mine: bool
    known: frozenset[str]


def standing(engine: Engine, batch: HeldBatch, custom_ids: Sequence[str]) -> Standing:
    """How it stands with a batch, before a chunk of lines is taken in."""
    values = batch.key | {"custom_ids": list(custom_ids)}
    row = run(engine, statements.STANDING, values)[0]
    return Standing(row.status, row.over, row.at, bool(row.mine), frozenset(row.known))


def finalize(engine: Engine) -> list[UUID]:
    """Batches that have just lost their last open line, a bounded number."""
    return [row.id for row in run(engine, statements.FINALIZE, {})]


def end(engine: Engine, batch: HeldBatch, files: Mapping[str, UUID | None]) -> str | None:
    """Ends it, its files being there (`output` and `error`); returns how it ended,
    None if another one holds it."""
    values = batch.key | {
        "output_file_id": files.get("output"),
        "error_file_id": files.get("error"),
    }
    rows = run(engine, statements.END, values)
    return str(rows[0].status) if rows else None
