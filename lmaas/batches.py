"""Batches seen from outside: many requests under one id, run when there is room."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from lmaas.batch_answers import (
    Batch,
    BatchLine,
    LineError,
    Progress,
    read_batch,
    read_line,
    read_line_error,
)
from lmaas.batch_events import follow
from lmaas.batch_upload import pieces, requests, upload
from lmaas.errors import BadUsage, WaitTimeout
from lmaas.line_ends import split
from lmaas.reading import read_list
from lmaas.transport import Transport

# Between two looks at a batch that runs: soon at first, then less often.
_SOONEST_S, _LATEST_S = 0.2, 2.0

Line = Mapping[str, Any]
Source = str | Path | BinaryIO | Iterable[Line]


class Batches:
    """The batches of the tenant that the client's key belongs to.

    A `Batch` or its id may be given wherever one is meant.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        source: Source | None = None,
        *,
        endpoint: str,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        **options: object,
    ) -> Batch:
        """Submits a batch: the id of an uploaded file, a path or an open file of JSON
        lines, or the lines themselves (each with `custom_id` and `body`), which
        are uploaded first. Sent again with the same key it is the same batch.

        `options`: `open=True` takes more lines later (`append`, `close`),
        `dedupe=True` runs equal deterministic lines once, `dry_run=True` only
        counts and checks, and `priority` is `batch`, `normal` or `interactive`.
        """
        key = idempotency_key or str(uuid.uuid4())
        body: dict[str, Any] = {"endpoint": endpoint, "completion_window": completion_window}
        if source is not None:
            is_id = isinstance(source, str) and source.startswith("file-")
            body["input_file_id"] = source if is_id else self._uploaded(source, endpoint, key)
        if metadata:
            body["metadata"] = dict(metadata)
        body |= {name: value for name, value in options.items() if value is not None}
        headers = {"Idempotency-Key": key}
        return read_batch(
            self._transport.request("POST", "/v1/batches", body=body, headers=headers)
        )

    def get(self, batch: str | Batch) -> Batch:
        """The batch now."""
        return read_batch(self._transport.request("GET", _path(batch)))

    def ls(self, *, page: int = 100) -> Iterator[Batch]:
        """All batches, newest first, page by page."""
        query: dict[str, str | int] = {"limit": page}
        while True:
            body = self._transport.request("GET", "/v1/batches", query=query)
            found = read_list(body, read_batch)
            yield from found
            if not body.get("has_more") or not found:
                return
            query["after"] = found[-1].id

    def results(
        self, batch: str | Batch, *, after: int = 0, wait: bool = True, page: int = 1_000
    ) -> Iterator[BatchLine]:
        """The lines that have ended, in the order of the input, each once.

        With `wait` (the default) the iterator goes on until the batch is over;
        without, it ends at the first line that has not ended. To go on later,
        give the `line` of the last one as `after`.
        """
        pause_s = _SOONEST_S
        while True:
            query: dict[str, str | int] = {"after": after, "limit": page}
            body = self._transport.request("GET", f"{_path(batch)}/results", query=query)
            found = read_list(body, read_line)
            yield from found
            after = found[-1].line if found else after
            if body.get("has_more"):
                continue
            if not wait or body.get("done"):
                return
            pause_s = _SOONEST_S if found else min(pause_s * 1.5, _LATEST_S)
            time.sleep(pause_s)

    def events(
        self, batch: str | Batch, *, last_event_id: str | None = None
    ) -> Iterator[tuple[str, Mapping[str, Any] | Progress]]:
        """What happens, as it happens, until the batch is over: pairs of an id
        to go on from, and a line that ended (`line`, `custom_id`, `status`) or a
        `Progress`. A lost connection is taken up again where it broke."""
        return follow(self._transport, f"{_path(batch)}/events", last_event_id)

    def wait(
        self,
        batch: str | Batch,
        timeout_s: float | None = None,
        progress: Callable[[Batch], None] | None = None,
    ) -> Batch:
        """The batch once it has ended, however it did; `progress` is called with
        every look at it. Raises `WaitTimeout`; the batch goes on."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = _SOONEST_S
        while True:
            seen = self.get(batch)
            if progress is not None:
                progress(seen)
            if seen.ended:
                return seen
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"batch {seen.id} is still {seen.status} after {timeout_s} s; "
                                  f"it goes on: `lmaas batch follow {seen.id}`")  # fmt: skip
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LATEST_S)

    def cancel(self, batch: str | Batch) -> Batch:
        """Asks for its end; what is done stays done."""
        return self._told(batch, "cancel")

    def cancel_line(self, batch: str | Batch, line: str | int) -> Batch:
        """Asks for the end of one line, by its custom_id (a text) or its number."""
        path = f"{_path(batch)}/lines/{quote(str(line), safe='')}/cancel"
        query = {"by": "line" if isinstance(line, int) else "custom_id"}
        return read_batch(self._transport.request("POST", path, query=query))

    def pause(self, batch: str | Batch) -> Batch:
        """No other line begins until `resume`; what runs ends."""
        return self._told(batch, "pause")

    def resume(self, batch: str | Batch) -> Batch:
        """Lets the waiting lines begin again."""
        return self._told(batch, "resume")

    def prioritize(self, batch: str | Batch, priority: str) -> Batch:
        """Moves the lines that wait to another class of work."""
        return read_batch(
            self._transport.request("POST", _path(batch), body={"priority": priority})
        )

    def append(self, batch: str | Batch, lines: Iterable[Line]) -> Batch:
        """Adds lines to an open batch; those whose custom_id it has already are
        passed over, so that appending again after a lost answer adds nothing."""
        seen, path = self.get(batch), f"{_path(batch)}/lines"
        headers = {"Content-Type": "application/jsonl"}
        for content in pieces(requests(lines, seen.endpoint)):
            body = self._transport.request("POST", path, body=content, headers=headers)
            seen = read_batch(body)
        return seen

    def close(self, batch: str | Batch) -> Batch:
        """Ends an open batch's input: it is over when its lines are."""
        return self._told(batch, "close")

    def retry(
        self,
        batch: str | Batch,
        *,
        model: str | None = None,
        codes: Iterable[str] = (),
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """A new batch of the lines that failed or expired, or of those with certain
        error `codes`; on another `model`, with other fields of the `body`, if given."""
        wish: dict[str, Any] = {"codes": sorted(codes)} if codes else {}
        if changed := {**(body or {}), **({"model": model} if model else {})}:
            wish["body"] = changed
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        path = f"{_path(batch)}/retry"
        return read_batch(self._transport.request("POST", path, body=wish, headers=headers))

    def errors(self, batch: Batch) -> Iterator[tuple[str | None, LineError]]:
        """Why lines of a batch that is over have no result, in order, from its error
        file; with the custom_id, or None for a line that had none of its own."""
        if batch.error_file_id is None:
            return
        with self._transport.stream(f"/v1/files/{batch.error_file_id}/content") as found:
            for line in split(found):
                yield read_line_error(json.loads(line))

    def _told(self, batch: str | Batch, verb: str) -> Batch:
        return read_batch(self._transport.request("POST", f"{_path(batch)}/{verb}"))

    def _uploaded(self, source: Source, endpoint: str, key: str) -> str:
        return upload(self._transport, source, endpoint, key)


def _path(batch: str | Batch) -> str:
    id = batch.id if isinstance(batch, Batch) else batch
    if not id or not all(character.isalnum() or character in "-_" for character in id):
        raise BadUsage(f"{id!r} is not an id of a batch")
    return f"/v1/batches/{id}"
