"""kombu's Redis transport, which outlives garbage in a queue.

Anybody with Redis' password can push anything. kombu lets what is no message
end the Celery worker, and a loaded model with it; here it is passed over.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis

log = logging.getLogger(__name__)

# What decoding of a text that is no message raises, in json and in kombu.
_NO_MESSAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Channel(redis.Channel):
    """Drops what is no message; it has left the queue by then."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except _NO_MESSAGE as error:
            log.warning("something in a bell queue is no message (%s)", type(error).__name__)
            raise Empty from None


class Transport(redis.Transport):
    """See the module."""

    Channel = Channel
