"""The end of a connection, and the end of a web process, between gunicorn and the application."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from api.services import Services

_CLOSE = "lmaas.close"
_LET_GO = "lmaas.let_go"

Application = Callable[..., Iterable[bytes]]


def closable(application: Application) -> Application:
    """The application, which may ask that a connection is closed after an answer: gunicorn
    passes over the header that would say so."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[_CLOSE] = start_response.__self__.force_close
        return application(environ, start_response)

    return serve


def let_go(application: Flask) -> None:
    """Whoever waits for a job gets an answer now."""
    application.extensions[_LET_GO]()


def register(app: Flask, services: Services) -> None:
    """A refusal of a body that was not read says that its connection ends; and the
    application can be told to let go."""
    app.extensions[_LET_GO] = services.let_go

    @app.after_request
    def close_unread(response: Response) -> Response:
        if response.status_code >= 400 and _is_unread():
            close = request.environ.get(_CLOSE)
            if close is not None:
                close()
        return response


def _is_unread() -> bool:
    """Whether some of the request's body is still to come, or may be."""
    if request.content_length is None:
        return "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    try:
        left = request.content_length - request.stream.tell()
    except RequestEntityTooLarge:
        return True
    return left > 0
