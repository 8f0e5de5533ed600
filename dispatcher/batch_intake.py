"""Takes in the files of batches: a chunk of lines, a transaction.

A file is read from where the last committed chunk ended, by one housekeeper at a time.
Whoever is killed between any two lines leaves nothing to undo: the next one goes on.
"""

import logging
import time
from collections.abc import Sequence
from threading import Event
from typing import BinaryIO

from sqlalchemy import Engine

from dispatcher.batch_hold import Hold, LetGo
from dispatcher.batch_lines import RawLine, TooManyLines, chunks, raw_lines
from dispatcher.chores import MORE
from files_store import catalog
from files_store.contents import Contents
from jobs.batches import equals, lifecycle
from jobs.batches.envelopes import Chunk, Reach, TakenLine
from jobs.batches.lifecycle import LEASE_S, HeldBatch
from jobs.batches.limits import MOST_LINES
from jobs.content_errors import FileGone, FileLost, StorageUnavailable, UnknownFile
from jobs.failpoints import reach
from jobs.ids import new_id
from jobs.quotas.admission import admit_lines
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from jobs.tenant_errors import RateLimitExceeded
from routing.openai.line_router import LineRouter
from routing.request_router import RequestRouter

# So long at a batch, then the next one's turn comes.
_PIECE_S = 2.0
_STORAGE_PAUSE_S = 5.0

log = logging.getLogger(__name__)


class BatchIntake:
    """See the module; one for each process."""

    def __init__(self, engine: Engine, settings: Settings, contents: Contents) -> None:
        self._engine, self._contents = engine, contents
        self._router = LineRouter(RequestRouter(engine, settings), settings.max_body_bytes)
        self._task_manager = TaskManager(engine)
        self._id = new_id()

    def piece(self, stopping: Event) -> object:
        """Works on one batch for a while; `MORE` if there was one."""
        batch = lifecycle.take_to_read(self._engine, self._id)
        if batch is None:
            return None
        pause_s = 0.0
        try:
            self._read(batch, Hold(self._engine, batch, stopping))
        except LetGo:
            pass
        except RateLimitExceeded as error:  # its tenant has as much waiting as it may
            pause_s = float(error.retry_after_s)
        except (FileGone, FileLost, UnknownFile) as error:
            self._fail(batch, error.code, error.message)
        except (StorageUnavailable, OSError) as error:
            pause_s = _STORAGE_PAUSE_S
            self._put_off(batch, type(error).__name__)
        lifecycle.let_go(self._engine, batch, pause_s)
        return MORE

    def _put_off(self, batch: HeldBatch, why: str) -> None:
        """The storage does not answer: another time, as long as the window lasts."""
        log.warning("the file of batch %s is read later: %s", batch.id, why)
        if lifecycle.standing(self._engine, batch, []).over:
            self._fail(batch, StorageUnavailable.code, "the storage for files did not answer "
                       "before the window was over")  # fmt: skip

    def _fail(self, batch: HeldBatch, code: str, message: str) -> None:
        log.info("the file of batch %s is of no use: %s", batch.id, code)
        fault = {"code": code, "message": message, "line": None, "param": "input_file_id"}
        lifecycle.fail(self._engine, batch, [fault])

    def _read(self, batch: HeldBatch, hold: Hold) -> None:
        if batch.input_file_id is None:
            return
        found = catalog.get(self._engine, batch.tenant_id, batch.input_file_id)
        with catalog.read(self._engine, self._contents, found) as file:
            if not batch.lines:
                lines = self._count(batch, file, hold)
                if lines is None or not lifecycle.begin(self._engine, batch, lines):
                    return
            self._take_in(batch, file, hold)

    def _count(self, batch: HeldBatch, file: BinaryIO, hold: Hold) -> int | None:
        """How many requests the file holds; None if that is nothing to begin with."""
        lines = 0
        try:
            for _ in raw_lines(file, Reach(), self._router.most_line_bytes):
                hold.beat()
                lines += 1
                if lines > MOST_LINES:
                    raise TooManyLines
        except TooManyLines:
            self._fail(batch, "too_many_lines", f"the file has more than {MOST_LINES:,} requests; "
                       "make several batches of it")  # fmt: skip
            return None
        if not lines:
            self._fail(batch, "empty_file", "the file has no line that is not blank")
        return lines or None

    def _take_in(self, batch: HeldBatch, file: BinaryIO, hold: Hold) -> None:
        start = Reach(batch.intake_bytes, batch.intake_line)
        file.seek(start.bytes)
        until = time.monotonic() + _PIECE_S
        for lines, ended in chunks(raw_lines(file, start, self._router.most_line_bytes)):
            hold.beat()
            end = lines[-1].end if lines else start
            while not self._submit(batch, lines, (start, end), ended=ended):
                hold.beat()
            start = end
            if time.monotonic() > until:
                return

    def _submit(
        self, batch: HeldBatch, lines: Sequence[RawLine], span: tuple[Reach, Reach], *, ended: bool
    ) -> bool:
        """Takes a chunk in; False if the batch changed meanwhile. Raises `LetGo` if
        it is not ours, or was read further than we know."""
        read = [self._router.read(line.data, batch.endpoint) for line in lines]
        ids = [one.custom_id for one in read if one.custom_id is not None]
        now = lifecycle.standing(self._engine, batch, ids)
        if not now.mine or now.at != span[0].bytes:
            raise LetGo
        taken = self._router.taken(
            batch, [(line.end.line, one) for line, one in zip(lines, read, strict=True)], now
        )
        if batch.dedupe:
            taken = equals.joined(self._engine, batch.id, taken)
        self._admit(batch, taken)
        chunk = Chunk(batch.id, batch.taken_by, now.status, *span, taken, ended)
        reach("batches.taking")
        done = self._task_manager.submit_many(chunk, LEASE_S)
        reach("batches.taken")
        return done

    def _admit(self, batch: HeldBatch, taken: Sequence[TakenLine]) -> None:
        """Raises `QuotaExceeded`: the lines are read again when there is room."""
        new = [line.job for line in taken if line.job is not None]
        tokens = sum(job.prompt_tokens + job.max_tokens for job in new)
        refusal = admit_lines(self._engine, batch.tenant_id, len(new), tokens)
        if refusal is not None:
            raise refusal
