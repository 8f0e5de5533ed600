"""gunicorn's gthread worker, with one wait taken out of its way.

gthread closes a connection in the loop that accepts the next ones, and waits
there up to 2 s for the client to close its side: a few clients that do not
would keep everybody else, /health too, from being answered.
"""

from gunicorn.workers import gthread


class ThreadWorker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Waits for a client's close in the thread of its request."""

    def handle(self, conn: gthread.TConn) -> object:
        """Runs in a request's thread; a false answer ends the connection."""
        kept: object = super().handle(conn)
        if not kept:
            conn.close(graceful=True)
            conn.close = _is_closed
        return kept


def _is_closed(graceful: bool = False) -> None:
    """What is left to do in the loop for a connection that was closed."""
