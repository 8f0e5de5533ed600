"""Token streams: the text of a running job, for clients that asked to stream.

The one place where a completion passes through Redis: a stream for each such
job, bounded in length, with a time to live, and gone soon after the job's end.
Everything in it may be lost. An entry says which attempt it belongs to, at
which character of the completion it begins and at which of its logprobs, so a
reader sees a gap, and fills it from the result in Postgres.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from redis import Redis

from bells.connections import Breaker, quick_client
from jobs.logprobs import TokenLogprobs, pack, unpack
from jobs.settings import Settings

_MOST_ENTRIES = 4_096
# What one attempt's stream may hold, in characters: text and packed logprobs. The
# rest is told from the result.
MOST_STREAMED = 1_000_000
# About what a packed likelihood takes: its piece, its logprob, and base64.
_LIKELIHOOD = 15
# A reader that comes back within this time still finds what it missed.
_AFTER_END_S = 30
_LONGEST_LIFE_S = 3_600
# Tokens of this long gather in one entry: a person reads no faster.
_GATHER_S = 0.02

log = logging.getLogger(__name__)

_Part = tuple[UUID, int, int]  # job, attempt, completion


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that a job's attempt produced, from character `offset` of all its
    completions on; it belongs to completion `choice`. `logprobs` are those of
    tokens from number `token` of all completions on, if they were asked for."""

    attempt: int
    offset: int
    text: str
    choice: int = 0
    token: int = 0
    logprobs: Sequence[TokenLogprobs] = ()

    @property
    def end(self) -> int:
        """The offset of what comes next."""
        return self.offset + len(self.text)

    @property
    def size(self) -> int:
        """About how many characters it takes up in a stream."""
        likelihoods = sum(1 + len(entry.top) for entry in self.logprobs)
        return len(self.text) + _LIKELIHOOD * likelihoods


def key(job_id: UUID) -> str:
    """Where a job's tokens are found in Redis."""
    return f"lmaas:tokens:{job_id}"


class TokenWriter:
    """A worker's end. Nothing here waits for Redis but its own thread, so a slow
    or absent Redis never slows the engine: what cannot be sent is dropped."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = quick_client(settings)
        self._breaker = Breaker()
        self._waiting: dict[_Part, Delta] = {}
        self._ended: set[UUID] = set()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="token-writer", daemon=True).start()

    def tell(self, job_id: UUID, delta: Delta) -> None:
        """Takes text to be sent; what gathers for a job goes out as one entry."""
        with self._changed:
            part = (job_id, delta.attempt, delta.choice)
            before = self._waiting.get(part)
            if before is not None:
                logprobs = (*before.logprobs, *delta.logprobs)
                delta = replace(before, text=before.text + delta.text, logprobs=logprobs)
            self._waiting[part] = delta
            self._changed.notify()

    def end(self, job_id: UUID) -> None:
        """The job is over here: its stream goes soon."""
        with self._changed:
            self._ended.add(job_id)
            self._changed.notify()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                waiting, self._waiting = self._waiting, {}
                ended, self._ended = self._ended, set()
            self._breaker.attempt(partial(self._send, waiting, ended))
            pause.wait(_GATHER_S)

    def _send(self, waiting: dict[_Part, Delta], ended: set[UUID]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for (job_id, *_), delta in waiting.items():
            entry: Any = {"a": delta.attempt, "o": delta.offset, "t": delta.text}
            if delta.choice:
                entry["c"] = delta.choice
            if delta.logprobs:
                entry |= {"n": delta.token, "l": pack(delta.logprobs)}
            pipeline.xadd(key(job_id), entry, maxlen=_MOST_ENTRIES, approximate=True)
            pipeline.expire(key(job_id), _LONGEST_LIFE_S)
        for job_id in ended:
            pipeline.expire(key(job_id), _AFTER_END_S)
        pipeline.execute()


def read(
    client: Redis, positions: dict[UUID, str], wait_s: float
) -> Iterator[tuple[UUID, Sequence[Delta]]]:
    """What came in any of these streams since the positions, which are moved
    on; waits for it that long. Raises what redis-py raises."""
    names = {key(job_id): job_id for job_id in positions}
    wanted: dict[Any, Any] = {name: positions[job_id] for name, job_id in names.items()}
    found: Any = client.xread(wanted, block=round(1000 * wait_s))
    for name, entries in found or ():
        job_id = names[name]
        positions[job_id] = entries[-1][0]
        yield job_id, [delta for _, fields in entries if (delta := _delta(fields)) is not None]


def _delta(fields: dict[str, str]) -> Delta | None:
    try:  # anybody with the password can write anything
        return Delta(
            int(fields["a"]), int(fields["o"]), fields["t"], int(fields.get("c", 0)),
            int(fields.get("n", 0)), unpack(fields["l"]) if "l" in fields else (),
        )  # fmt: skip
    except (KeyError, ValueError):
        return None
