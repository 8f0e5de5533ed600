"""Redis clients, each with the time limits of its place.

In a request's path a client fails at once instead of retrying (redis-py would
retry for seconds by default), and a breaker spares the next requests the wait.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobs.settings import Settings

T = TypeVar("T")

# What redis-py raises for a server that is away, frozen, or cut off.
REDIS_FAULTS: tuple[type[Exception], ...] = (RedisError, OSError)


def quick_client(settings: Settings) -> Redis:
    """For hints on a request's path: 0.1 s, no second try."""
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=0.1,
        socket_connect_timeout=0.1,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def listening_client(settings: Settings, wait_s: float) -> Redis:
    """For a thread that waits up to `wait_s` for a hint; a frozen server shows
    a second later."""
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=wait_s + 1.0,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        # Anybody with the password can write bytes that are no text.
        encoding_errors="replace",
    )


class Breaker:
    """Skips a failing call for a while: one caller in `rest_s` pays its timeout."""

    def __init__(self, rest_s: float = 1.0) -> None:
        self._rest_s = rest_s
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are being skipped right now."""
        return time.monotonic() < self._open_until

    def attempt(self, call: Callable[[], T]) -> T | None:
        """The call's value; `None` if it failed or was skipped."""
        if self.is_open:
            return None
        try:
            return call()
        except REDIS_FAULTS:
            self._open_until = time.monotonic() + self._rest_s
            return None
