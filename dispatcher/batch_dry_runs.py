"""Dry runs: what a batch would be, found out without a job.

The whole file is read and each line routed as for a real batch. Whoever is killed
leaves nothing, and the next one begins anew.
"""

import logging
from threading import Event
from typing import BinaryIO

from sqlalchemy import Engine

from dispatcher.batch_hold import Hold, LetGo
from dispatcher.batch_lines import RawLine, TooManyLines, chunks, raw_lines
from dispatcher.chores import MORE
from files_store import catalog
from files_store.contents import Contents
from jobs.batches import lifecycle
from jobs.batches.envelopes import Reach
from jobs.batches.forecast import forecast
from jobs.batches.lifecycle import HeldBatch, Standing
from jobs.batches.limits import MOST_LINES
from jobs.batches.reports import Report
from jobs.content_errors import FileGone, FileLost, StorageUnavailable, UnknownFile
from jobs.ids import new_id
from jobs.settings import Settings
from jobs.states import Priority
from routing.openai.line_router import LineRouter
from routing.request_router import RequestRouter

_STORAGE_PAUSE_S = 5.0

log = logging.getLogger(__name__)


class BatchDryRuns:
    """See the module; one for each process."""

    def __init__(self, engine: Engine, settings: Settings, contents: Contents) -> None:
        self._engine, self._contents = engine, contents
        self._router = LineRouter(RequestRouter(engine, settings), settings.max_body_bytes)
        self._id = new_id()

    def piece(self, stopping: Event) -> object:
        """Tries one batch out; `MORE` if there was one."""
        batch = lifecycle.take_to_try(self._engine, self._id)
        if batch is None or batch.input_file_id is None:
            return None
        pause_s = 0.0
        try:
            found = catalog.get(self._engine, batch.tenant_id, batch.input_file_id)
            with catalog.read(self._engine, self._contents, found) as file:
                report = self._try(batch, file, Hold(self._engine, batch, stopping))
            told = report.told(
                lambda asked: forecast(
                    self._engine, batch.tenant_id, Priority(batch.priority), asked
                )
            )
            lifecycle.tried(self._engine, batch, told)
        except LetGo:
            pass
        except TooManyLines:
            self._fail(batch, "too_many_lines", f"the file has more than {MOST_LINES:,} requests")
        except (FileGone, FileLost, UnknownFile) as error:
            self._fail(batch, error.code, error.message)
        except StorageUnavailable as error:
            log.warning("batch %s is tried later: %s", batch.id, error.message)
            pause_s = _STORAGE_PAUSE_S
        lifecycle.let_go(self._engine, batch, pause_s)
        return MORE

    def _fail(self, batch: HeldBatch, code: str, message: str) -> None:
        fault = {"code": code, "message": message, "line": None, "param": "input_file_id"}
        lifecycle.fail(self._engine, batch, [fault])

    def _try(self, batch: HeldBatch, file: BinaryIO, hold: Hold) -> Report:
        report = Report(dedupe=batch.dedupe)
        known: set[str] = set()
        for lines, _ in chunks(raw_lines(file, Reach(), self._router.most_line_bytes)):
            self._chunk(batch, lines, known, report, hold)
            if report.lines > MOST_LINES:
                raise TooManyLines
        return report

    def _chunk(
        self,
        batch: HeldBatch,
        lines: list[RawLine],
        known: set[str],
        report: Report,
        hold: Hold,
    ) -> None:
        hold.beat()
        read = [(line.end.line, self._router.read(line.data, batch.endpoint)) for line in lines]
        now = Standing(batch.status, over=False, at=0, mine=True, known=frozenset(known))
        for taken in self._router.taken(batch, read, now):
            report.note(taken)
            if taken.custom_id is not None:
                known.add(taken.custom_id)
