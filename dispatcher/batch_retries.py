"""Makes the files of batches that run lines of another one again."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from dispatcher.batch_hold import Hold, LetGo
from dispatcher.batch_lines import RawLine, raw_lines
from dispatcher.chores import MORE
from files_store import catalog
from files_store.contents import Contents
from files_store.stored_file import Purpose
from jobs.batches import lifecycle, retries
from jobs.batches.envelopes import Reach
from jobs.batches.lifecycle import HeldBatch
from jobs.batches.limits import MOST_BYTES
from jobs.batches.retries import AgainLine
from jobs.content_errors import (
    FileGone,
    FileLost,
    FileTooLarge,
    StorageFull,
    StorageUnavailable,
    UnknownFile,
)
from jobs.failpoints import reach
from jobs.ids import derived_id, new_id
from jobs.json_lines import json_line
from jobs.settings import Settings
from routing.openai.line_router import LineRouter
from routing.request_router import RequestRouter

_STORAGE_PAUSE_S = 5.0

log = logging.getLogger(__name__)


class BatchRetries:
    """Makes the input files of retries; one for each process. A file has a fixed id:
    whoever is killed on the way leaves nothing, and the next one makes the same."""

    def __init__(self, engine: Engine, contents: Contents, settings: Settings) -> None:
        self._engine, self._contents = engine, contents
        router = LineRouter(RequestRouter(engine, settings), settings.max_body_bytes)
        self._most_line_bytes = router.most_line_bytes
        self._id = new_id()

    def piece(self, stopping: Event) -> object:
        """Makes the file of one batch; `MORE` if there was one."""
        batch = lifecycle.take_to_gather(self._engine, self._id)
        if batch is None or batch.retry_of is None:
            return None
        pause_s = 0.0
        try:
            file_id = self._write(batch, batch.retry_of, Hold(self._engine, batch, stopping))
            reach("batches.gathered")
            lifecycle.gathered(self._engine, batch, file_id)
        except LetGo:
            pass
        except (FileGone, FileLost, FileTooLarge, UnknownFile) as error:
            fault = {"code": error.code, "message": error.message, "line": None, "param": None}
            lifecycle.fail(self._engine, batch, [fault])
        except (StorageFull, StorageUnavailable) as error:
            log.warning("the file of batch %s is made later: %s", batch.id, error.message)
            pause_s = _STORAGE_PAUSE_S
        lifecycle.let_go(self._engine, batch, pause_s)
        return MORE

    def _write(self, batch: HeldBatch, first: UUID, hold: Hold) -> UUID:
        overrides = batch.overrides or {}
        again = retries.lines(self._engine, first, overrides.get("codes"))
        with ExitStack() as held:
            told = self._requests(batch, first, again, held)
            return catalog.create(
                self._engine,
                self._contents,
                tenant_id=batch.tenant_id,
                purpose=Purpose.BATCH,
                filename=f"batch_{batch.id.hex}_retry.jsonl",
                source=_changed(told, overrides.get("body") or {}, hold),
                expires_after_s=None,
                most_bytes=2 * MOST_BYTES,
                id=derived_id(batch.id, "input"),
            ).id

    def _requests(
        self, batch: HeldBatch, first: UUID, again: Iterator[AgainLine], held: ExitStack
    ) -> Iterator[bytes]:
        """The lines themselves: from the first batch's file, read once from its start,
        and behind those the ones that were appended."""
        file_id = retries.input_file(self._engine, batch.tenant_id, first)
        lines: Iterator[RawLine] = iter(())
        if file_id is not None:
            found = catalog.get(self._engine, batch.tenant_id, file_id)
            file = held.enter_context(catalog.read(self._engine, self._contents, found))
            lines = raw_lines(file, Reach(), self._most_line_bytes)
        for wanted in again:
            if wanted.request is not None:
                yield wanted.request
                continue
            read = next((line for line in lines if line.end.line == wanted.line), None)
            if read is not None and read.data is not None:
                yield read.data


def _changed(told: Iterator[bytes], fields: dict[str, Any], hold: Hold) -> Iterator[bytes]:
    for line in told:
        hold.beat()
        yield (_with(line, fields) if fields else line.strip()) + b"\n"


def _with(line: bytes, fields: dict[str, Any]) -> bytes:
    """A request with other fields in its body; what is no request stays as it is."""
    try:
        request = json.loads(line)
        request["body"].update(fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return line.strip()
    return json_line(request)
