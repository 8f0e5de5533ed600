"""gunicorn's gthread worker, which waits for no client where that costs others.

- A thread is given to a request whose head has come whole (`api.patient_worker`).
- gthread closes a connection in the loop that accepts the next ones, and waits there up
  to 2 s for the client to close its side; here the request's thread does.
- Between two requests on one connection gthread goes from the request's thread to the
  loop and back to a thread, which costs as much as a short request itself. Most clients
  ask again at once; so a thread waits for that a moment, while most threads are free.
- A worker that stops lets go of its port, so that nobody connects to it in vain, and of
  those who wait for a job (`api.closing`), before its time is over.
"""

import errno
import select
import threading
from http import HTTPStatus

from flask import Flask
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers import gthread

from api import closing, heads, raw_answers
from api.patient_worker import PatientWorker

_MOMENT_MS = 5
# Before its time is over, a stopping worker answers those who wait as it stands.
_LAST_WORDS_S = 5.0
_STATUS = {
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}


class ThreadWorker(PatientWorker):
    """See the module."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self._inside: set[gthread.TConn] = set()  # connections that have a thread

    def load_wsgi(self) -> None:
        """Lets the application say after which answers it will not read on."""
        super().load_wsgi()
        self._application: Flask = self.wsgi  # type: ignore[has-type]
        self.wsgi = closing.closable(self._application)

    def handle(self, conn: gthread.TConn) -> object:
        """Runs in a request's thread; a false answer ends the connection."""
        self._inside.add(conn)
        try:
            kept: object = super().handle(conn)
            while kept is True and self.alive and self._asks_again(conn):
                kept = super().handle(conn)
        finally:
            self._inside.discard(conn)
        if not kept:
            conn.close(graceful=True)
            conn.close = _is_closed
        return kept

    def _asks_again(self, conn: gthread.TConn) -> bool:
        if 2 * len(self._inside) > self.cfg.threads:
            return False
        if not conn.parser.unreader.buf.getvalue():
            ear = select.poll()
            ear.register(conn.sock, select.POLLIN)
            if not ear.poll(_MOMENT_MS):
                return False
        return heads.look(conn) is heads.Head.WHOLE

    def handle_request(self, req: object, conn: gthread.TConn) -> object:
        """A client that takes nothing for too long has left, which is no fault of ours."""
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:
            raise ConnectionResetError(errno.ECONNRESET, "nothing was taken") from error

    def handle_error(self, req: object, client: object, addr: object, exc: Exception) -> None:
        """What is no HTTP is answered as everything else is: in JSON, with an id."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status = _STATUS.get(type(exc), HTTPStatus.BAD_REQUEST)
        # Not what it says: that quotes the request.
        self.log.warning("a request that is no HTTP (%s)", type(exc).__name__)
        problem = f"the request cannot be read ({status.phrase})"
        raw_answers.send(client, status, problem)

    def handle_exit(self, sig: int, frame: object) -> None:
        """SIGTERM."""
        if self.alive:
            patience_s = max(0.0, self.cfg.graceful_timeout - _LAST_WORDS_S)
            timer = threading.Timer(patience_s, closing.let_go, args=(self._application,))
            timer.daemon = True
            timer.start()
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """A stopping worker takes those who have connected already, and lets go of the port."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                while select.select([listener], [], [], 0)[0]:
                    self.accept(listener)
                listener.close()


def _is_closed(graceful: bool = False) -> None:
    """What is left to do in the loop for a connection that was closed."""
