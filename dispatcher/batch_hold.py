"""Holding a batch while its file is read or its outputs are written."""

import time
from threading import Event

from sqlalchemy import Engine

from jobs.batches import lifecycle
from jobs.batches.lifecycle import LEASE_S, HeldBatch


class LetGo(Exception):
    """The batch is not ours any more, or the process is to end."""


class Hold:
    """The lease of one batch, renewed by `beat` while the work goes on."""

    def __init__(self, engine: Engine, batch: HeldBatch, stopping: Event) -> None:
        self._engine, self._batch, self._stopping = engine, batch, stopping
        self._renew_at = time.monotonic() + LEASE_S / 3

    def beat(self) -> None:
        """To be called often. Raises `LetGo` if the work is to be left."""
        if self._stopping.is_set():
            raise LetGo
        if time.monotonic() < self._renew_at:
            return
        if not lifecycle.keep(self._engine, self._batch):
            raise LetGo
        self._renew_at = time.monotonic() + LEASE_S / 3
