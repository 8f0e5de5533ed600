"""Hints between processes: they shorten a wait and may be lost.

submitted  web -> dispatcher     list, trimmed: "there is something to release"
taken      worker -> dispatcher  the same list: "released work was claimed"
finished   worker -> web         channel: ids whose waiting polls may answer
cancelled  web -> worker         channel: ids to look at now
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from uuid import UUID

from redis import Redis

from bells import token_stream
from bells.connections import REDIS_FAULTS, Breaker, listening_client, quick_client
from jobs.settings import Settings

DISPATCHER = "lmaas:hint:dispatcher"
FINISHED = "lmaas:finished"
CANCELLED = "lmaas:cancelled"
_ERASED = "lmaas:erased"  # no channel: what is to be deleted
_MOST_HINTS = 1_000

log = logging.getLogger(__name__)


class Hints:
    """Rings from a thread of its own: no request and no commit waits for Redis.

    What gathers while one message is under way goes out with the next; what
    cannot be sent is dropped.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = quick_client(settings)
        self._breaker = Breaker()
        self._waiting: dict[str, list[str]] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def wake_dispatcher(self, job_id: UUID | None = None) -> None:
        """Tells that a job waits for release, or that released ones were taken."""
        self._put(DISPATCHER, [str(job_id) if job_id else "taken"])

    def tell_finished(self, ids: Sequence[UUID]) -> None:
        """Wakes the waiting polls of these jobs."""
        self._put(FINISHED, map(str, ids))

    def tell_cancelled(self, job_id: UUID) -> None:
        """Makes the job's worker look at its cancel flag now."""
        self._put(CANCELLED, [str(job_id)])

    def forget_tokens(self, job_id: UUID) -> None:
        """Takes a job's token stream away, if there is one still."""
        self._put(_ERASED, [token_stream.key(job_id)])

    def ping(self) -> bool:
        """Whether Redis answers; 0.1 s at most."""
        return bool(self._breaker.attempt(self._redis.ping))

    def _put(self, name: str, words: Iterable[str]) -> None:
        with self._changed:
            self._waiting.setdefault(name, []).extend(words)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                waiting, self._waiting = self._waiting, {}
            self._breaker.attempt(partial(self._send, waiting))

    def _send(self, waiting: dict[str, list[str]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for name, words in waiting.items():
            if name == DISPATCHER:
                pipeline.lpush(name, *words)
                pipeline.ltrim(name, 0, _MOST_HINTS - 1)
            elif name == _ERASED:
                pipeline.delete(*words)
            else:
                pipeline.publish(name, " ".join(words))
        pipeline.execute()


class DispatcherEar:
    """The dispatcher's end of the hint list."""

    def __init__(self, settings: Settings, wait_s: float) -> None:
        self._redis: Redis = listening_client(settings, wait_s)
        self._wait_s = wait_s

    def wait(self, stopping: threading.Event) -> None:
        """Returns at a hint, or after the waiting time; swallows all hints that
        are there, since one tick serves them all."""
        try:
            if self._redis.brpop([DISPATCHER], timeout=self._wait_s) is not None:
                self._redis.delete(DISPATCHER)
        except REDIS_FAULTS:
            stopping.wait(self._wait_s)


def listen(
    settings: Settings,
    channel: str,
    heard: Callable[[list[UUID]], None],
    stopping: threading.Event,
) -> None:
    """Calls `heard` with the ids of each message until `stopping` is set.

    Outlives every failure of Redis: it connects again after a second. Words
    that are no ids (anybody may write to a channel) are passed over.
    """
    while not stopping.is_set():
        try:
            client = listening_client(settings, 1.0)
            # redis-py's pubsub carries no types.
            with client.pubsub(ignore_subscribe_messages=True) as ear:  # type: ignore[no-untyped-call]
                ear.subscribe(channel)
                while not stopping.is_set():
                    message = ear.get_message(timeout=1.0)
                    if message is not None:
                        heard(list(_ids(str(message["data"]))))
        except REDIS_FAULTS as error:
            log.debug("hints from %s are interrupted: %s", channel, type(error).__name__)
            stopping.wait(1.0)


def _ids(words: str) -> Iterable[UUID]:
    for word in words.split():
        try:
            yield UUID(word)
        except ValueError:
            continue
