"""kombu's Redis transport, with two things mended.

Anybody with Redis' password can push anything. kombu lets what is no message
end the Celery worker, and a loaded model with it; here it is passed over. And
kombu makes a client of Redis, with a table of all its commands, for every
message that it sends; here a channel keeps one.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis

log = logging.getLogger(__name__)

# What decoding of a text that is no message raises, in json and in kombu.
_NO_MESSAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Channel(redis.Channel):
    """See the module."""

    # At its end it would ring again what it heard and did not begin, and write that to a
    # file (a pickle) if Redis is away. Other workers look by themselves within a second.
    do_restore = False

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except _NO_MESSAGE as error:
            # It has left the queue by then.
            log.warning("something in a bell queue is no message (%s)", type(error).__name__)
            raise Empty from None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """A client, which is safe in several threads; kombu itself keeps that for reading."""
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        kept = self.__dict__.get("_sender")
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._sender = super()._create_client()  # type: ignore[no-untyped-call]
        return kept


class Transport(redis.Transport):
    """See the module."""

    Channel = Channel
