"""The breaker between requests and a Redis that is away."""

import pytest
from redis.exceptions import TimeoutError as RedisTimeout

from bells.connections import Breaker
from tests.conditions import eventually


class Server:
    """Counts its calls, and fails while it is away."""

    def __init__(self) -> None:
        self.calls = 0
        self.away = True

    def call(self) -> str:
        self.calls += 1
        if self.away:
            raise RedisTimeout("frozen")
        return "PONG"


def test_after_a_failure_calls_are_skipped_for_a_while() -> None:
    breaker, server = Breaker(rest_s=60), Server()
    assert [breaker.attempt(server.call) for _ in range(5)] == [None] * 5
    assert server.calls == 1
    assert breaker.is_open


def test_after_the_rest_it_is_tried_again() -> None:
    breaker, server = Breaker(rest_s=0.01), Server()
    assert breaker.attempt(server.call) is None
    server.away = False
    assert eventually(lambda: breaker.attempt(server.call), within_s=5) == "PONG"
    assert server.calls == 2


def test_what_is_no_fault_of_redis_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        Breaker().attempt(lambda: 1 // 0)
