"""Writes the output and error files of batches whose lines have all ended.

The files are made of the jobs' results, line by line and in order, and have fixed ids:
whoever is killed leaves nothing half-written, and the next one makes the same files.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import chain
from threading import Event
from uuid import UUID

from sqlalchemy import Engine

from dispatcher.batch_hold import Hold, LetGo
from dispatcher.chores import MORE
from files_store import catalog
from files_store.contents import Contents
from files_store.stored_file import Purpose
from jobs.batches import lifecycle
from jobs.batches.lifecycle import HeldBatch
from jobs.batches.output_rows import Which
from jobs.content_errors import FileGone, StorageFull, StorageUnavailable
from jobs.failpoints import reach
from jobs.ids import derived_id, new_id
from jobs.task_manager import TaskManager
from routing.openai.batch_outputs import lines

_STORAGE_PAUSE_S = 5.0
_BLOCK_BYTES = 1 << 18
# Whatever came out is told; a bound is due all the same.
_MOST_BYTES = 10**12
_FILES = {"output": Which.SUCCEEDED, "error": Which.OTHERS}

log = logging.getLogger(__name__)


def end_lines(engine: Engine) -> object:
    """Ends lines of cancelled batches, and finds batches without an open line; `MORE`
    if there are more lines to end."""
    _, more = TaskManager(engine).cancel_lines()
    for batch_id in lifecycle.finalize(engine):
        log.info("all lines of batch %s have ended", batch_id)
    return MORE if more else None


class BatchOutputs:
    """See the module; one for each process."""

    def __init__(self, engine: Engine, contents: Contents) -> None:
        self._engine, self._contents = engine, contents
        self._id = new_id()

    def piece(self, stopping: Event) -> object:
        """Ends one batch; `MORE` if there was one."""
        batch = lifecycle.take_to_write(self._engine, self._id)
        if batch is None:
            return None
        pause_s = 0.0
        try:
            hold = Hold(self._engine, batch, stopping)
            files = {name: self._write(batch, name, hold) for name in _FILES}
            reach("batches.written")
            status = lifecycle.end(self._engine, batch, files)
            log.info("batch %s is %s", batch.id, status or "held by another process")
            return MORE
        except LetGo:
            pass
        except (StorageFull, StorageUnavailable) as error:
            log.warning("the files of batch %s are written later: %s", batch.id, error.message)
            pause_s = _STORAGE_PAUSE_S
        lifecycle.let_go(self._engine, batch, pause_s)
        return MORE

    def _write(self, batch: HeldBatch, name: str, hold: Hold) -> UUID | None:
        """One of the two files; None if no line belongs in it."""
        told = lines(self._engine, batch.id, batch.endpoint, _FILES[name])
        first = next(told, None)
        if first is None:
            return None
        file_id = derived_id(batch.id, name)
        try:
            catalog.create(
                self._engine,
                self._contents,
                tenant_id=batch.tenant_id,
                purpose=Purpose.BATCH_OUTPUT,
                filename=f"batch_{batch.id.hex}_{name}.jsonl",
                source=_blocks((line for _, line in chain((first,), told)), hold),
                expires_after_s=batch.output_expires_after_s,
                most_bytes=_MOST_BYTES,
                id=file_id,
            )
        except FileGone:  # written before a kill, and deleted since
            log.info("a file of batch %s was deleted before the batch ended", batch.id)
        return file_id


def _blocks(told: Iterable[bytes], hold: Hold) -> Iterator[bytes]:
    """The lines in pieces that are worth a write."""
    block = bytearray()
    for line in told:
        hold.beat()
        block += line
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    reach("batches.writing")
    yield bytes(block)
