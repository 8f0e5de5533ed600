"""Whether the head of a connection's next request is there, without reading it."""

import select
import socket
from contextlib import suppress
from enum import Enum, auto
from typing import Any

# More than this is not looked at: gunicorn reads it, and refuses what is too long.
_MOST_BYTES = 64 * 1024
_END = b"\r\n\r\n"
# Linux tells of a close behind unread bytes; elsewhere it shows when time is over.
_CLOSED = getattr(select, "POLLRDHUP", 0)


class Head(Enum):
    """What has come of a head."""

    NONE = auto()
    HALF = auto()
    WHOLE = auto()


def look(conn: Any) -> Head:
    """What has come of the next head, of gthread's connection. Whole is also what gunicorn
    must look at: a connection that was closed, or more bytes than a head has.

    After HALF the socket is readable again when more bytes have come than there are.
    """
    if conn.cfg.is_ssl:
        return Head.WHOLE  # not to be seen from here
    parser = conn.parser
    buffered: bytes = parser.unreader.buf.getvalue() if parser is not None else b""
    try:
        waiting = conn.sock.recv(_MOST_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        if not buffered:
            return Head.NONE
        waiting = b""
    except OSError:
        return Head.WHOLE
    else:
        if not waiting:
            return Head.WHOLE
    head = (buffered + waiting).lstrip(b"\r\n")
    whole = _END in head or len(head) >= _MOST_BYTES or _has_left(conn.sock)
    _wake_for_more_than(conn, 0 if whole else len(waiting))
    return Head.WHOLE if whole else Head.HALF


def drop(conn: Any) -> None:
    """Reads what has come, for nobody."""
    with suppress(OSError):
        conn.sock.recv(_MOST_BYTES, socket.MSG_DONTWAIT)


def _has_left(sock: socket.socket) -> bool:
    """Whether nothing will follow what is there."""
    ear = select.poll()
    ear.register(sock, _CLOSED)
    return bool(ear.poll(0))


def _wake_for_more_than(conn: Any, count: int) -> None:
    """The socket counts as readable once more bytes are there, or its end."""
    if count != getattr(conn, "seen", 0):
        conn.seen = count
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count + 1)
