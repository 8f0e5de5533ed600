"""A batch's server-sent events, read across broken connections."""

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lmaas.batch_answers import Progress, read_progress
from lmaas.errors import ServerFailed, ServerUnreachable
from lmaas.transport import Transport

# The server says something every few seconds, if only that nothing happened.
_SILENCE_S = 20.0
_MOST_TRIES = 8

Told = tuple[str, Mapping[str, Any] | Progress]


def follow(transport: Transport, path: str, last_event_id: str | None) -> Iterator[Told]:
    """See `Batches.events`."""
    place, failures = last_event_id or "", 0
    while True:
        try:
            for told, name, data in _events(transport, path, place):
                place, failures = told, 0
                yield place, data if name == "line" else read_progress(data)
                if name == "end":
                    return
        except (ServerUnreachable, ServerFailed):
            failures += 1
            if failures >= _MOST_TRIES:
                raise
            time.sleep(min(0.1 * 2**failures, 5.0))


def _events(
    transport: Transport, path: str, place: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    headers = {"Last-Event-ID": place} if place else {}
    with transport.lines(path, headers=headers, read_timeout_s=_SILENCE_S) as lines:
        for found in itertools.takewhile(bool, iter(lambda: _event(lines), {})):
            place = found.get("id", place)
            if "data" in found:
                yield place, found.get("event", ""), json.loads(found["data"])


def _event(lines: Iterator[str]) -> dict[str, str]:
    """The fields of the next event; none at the end of the stream."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line and fields:
            return fields
        name, colon, value = line.partition(":")
        if name and colon:
            fields[name] = value.removeprefix(" ")
    return {}
