"""A gthread worker that gives a thread to a request whose head has come whole.

Until then its connection costs a place in a list, for a bounded time: hundreds of clients
that send half a head, or nothing, keep nobody else from being answered.
"""

import selectors
import socket
import struct
import time
from functools import partial
from http import HTTPStatus

from gunicorn.workers import gthread

from api import heads, raw_answers

# From the first byte of a head to its last.
_HEAD_S = 10.0
# Without a byte of a request's body, or with none of an answer taken.
_PATIENCE_S = 30


class PatientWorker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module."""

    def enqueue_req(self, conn: gthread.TConn) -> None:
        """A request may have come: to a thread with it, if its head is whole."""
        if not conn.initialized:
            _limit(conn.sock)
        state = heads.look(conn)
        if state is heads.Head.WHOLE:
            if getattr(conn, "is_half", False):
                self.pending_conns.remove(conn)
                conn.is_half = False
            conn.data_ready = True  # gthread need not wait for it
            super().enqueue_req(conn)
        elif state is heads.Head.NONE:
            self._await_first_byte(conn)
        else:
            self._await_rest(conn)

    def _await_first_byte(self, conn: gthread.TConn) -> None:
        """As gthread does with a connection between two requests."""
        conn.sock.setblocking(False)
        conn.timeout = self._in(self.cfg.keepalive)
        self.keepalived_conns.append(conn)
        back = partial(self.on_client_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, back)

    def _await_rest(self, conn: gthread.TConn) -> None:
        conn.sock.setblocking(False)
        if not getattr(conn, "is_half", False):
            conn.is_half = True
            conn.timeout = self._in(_HEAD_S)
            self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_more, conn))

    def _in(self, seconds: float) -> float:
        """That time; soon, for a worker that stops."""
        linger_s: float = gthread.STOP_KEEPALIVE_LINGER
        return time.monotonic() + (seconds if self.alive else min(seconds, linger_s))

    def _cap_keepalive(self, deadline: float) -> None:
        """gthread's, as it begins to stop: half heads are waited for no longer either."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def _on_more(self, conn: gthread.TConn, client: object) -> None:
        self.poller.unregister(client)
        self.enqueue_req(conn)

    def murder_pending(self) -> None:
        """Tells those whose head did not come in time, then gthread closes them."""
        now = time.monotonic()
        for conn in self.pending_conns:
            if conn.timeout > now:
                break
            problem = "the head of the request did not come in time"
            raw_answers.send(conn.sock, HTTPStatus.REQUEST_TIMEOUT, problem)
            heads.drop(conn)  # a close over unread bytes would take the answer back
        super().murder_pending()


def _limit(sock: socket.socket) -> None:
    """A read or a write that waits longer fails; those with limits of their own keep them."""
    patience = struct.pack("ll", _PATIENCE_S, 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, patience)
