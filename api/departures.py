"""Clients that closed their connection while they wait for an answer.

The kernel is asked for all of them in one call that does not wait, so watching
costs neither a thread nor a read: bytes of a next request stay where they are.
A client that only closes its sending side counts as gone, as in Go's server.
"""

import select
from collections.abc import Sequence
from socket import socket
from typing import Generic, TypeVar

T = TypeVar("T")

# Linux tells of a close behind unread bytes; elsewhere some go unseen.
_CLOSED = getattr(select, "POLLRDHUP", 0)


class Departures(Generic[T]):
    """Connections, and who waits at each. Not thread-safe; a connection must be
    forgotten before it is closed: its number is soon another's."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._waiting: dict[int, Sequence[T]] = {}

    def watch(self, connection: socket, waiting: Sequence[T]) -> int | None:
        """Watches a connection; returns by which number to forget it. None, and
        nothing is watched, if it was closed here already."""
        number = connection.fileno()
        if number < 0:
            return None
        self._waiting[number] = waiting
        self._poll.register(number, _CLOSED)
        return number

    def forget(self, number: int) -> None:
        """Watches it no longer."""
        del self._waiting[number]
        self._poll.unregister(number)

    def gone(self) -> list[T]:
        """Who waits at connections that their clients have closed."""
        return [one for number, _ in self._poll.poll(0) for one in self._waiting[number]]
