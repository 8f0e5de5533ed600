"""gunicorn's gthread worker, with two waits taken out of its way.

gthread closes a connection in the loop that accepts the next ones, and waits
there up to 2 s for the client to close its side: a few clients that do not
would keep everybody else, /health too, from being answered.

And between two requests on one connection gthread goes from the request's thread to
that loop and back to a thread, which costs as much as a short request itself. Most
clients ask again at once; so a thread waits for that a moment, as long as most
threads are free.
"""

import select

from gunicorn.workers import gthread

_MOMENT_MS = 5


class ThreadWorker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self._inside: set[gthread.TConn] = set()  # connections that have a thread

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
        if conn.parser.unreader.buf.getvalue():
            return True  # its next request was read with the last one
        ear = select.poll()
        ear.register(conn.sock, select.POLLIN)
        return bool(ear.poll(_MOMENT_MS))


def _is_closed(graceful: bool = False) -> None:
    """What is left to do in the loop for a connection that was closed."""
