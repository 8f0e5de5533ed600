"""What the bells' transport does otherwise than kombu's, on a real Valkey."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from bells.celery_app import make_app
from jobs.settings import Settings


@pytest.fixture
def connection(redis_url: str) -> Iterator[Any]:  # kombu has no types
    given = {"DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1/none", "REDIS_URL": redis_url}
    app = make_app(Settings.model_validate(given))
    with app.connection_for_write() as connected:
        yield connected
    app.close()


def test_a_bell_that_was_heard_and_not_begun_is_not_rung_again(
    connection: Any, redis_url: str
) -> None:
    name = f"bells-{uuid4().hex}"
    with connection.SimpleQueue(name) as queue:
        queue.put({"ids": []})
        heard = queue.get(timeout=10)  # and not acknowledged
    connection.release()
    assert heard.payload == {"ids": []}
    with Redis.from_url(redis_url) as redis:
        assert redis.llen(name) == 0
        assert not redis.exists("unacked")


def test_a_channel_sends_with_one_client(connection: Any) -> None:
    channel = connection.channel()
    clients = []
    for _ in range(2):
        with channel.conn_or_acquire() as client:
            assert client.ping()
            clients.append(client)
    assert clients[0] is clients[1]
    assert channel.client is not clients[0]  # that one reads, and blocks
    channel._pool = None  # as after a fork, or a lost connection
    with channel.conn_or_acquire() as client:
        assert client.ping()
        assert client is not clients[0]
