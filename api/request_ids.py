"""`x-request-id`: a name for every request, on its answer and in the log.

A client's own is kept if it is short and printable, so that it can look for it
on both sides.
"""

import logging
import random
import re

import structlog
from flask import Flask, Response, g, request

HEADER = "x-request-id"
_FINE = re.compile(r"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)


def new_name() -> str:
    """A name for a request that came without one."""
    return f"req_{random.getrandbits(128):032x}"


def register(app: Flask) -> None:
    """Names all requests; logs those that are refused or fail."""

    @app.before_request
    def name() -> None:
        given = request.headers.get(HEADER, "")
        g.request_id = given if _FINE.fullmatch(given) else new_name()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def tell(response: Response) -> Response:
        response.headers[HEADER] = g.request_id
        if response.status_code >= 400:
            route = request.url_rule.rule if request.url_rule else "(none)"
            log.info("%s %s is answered %d", request.method, route, response.status_code)
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id")
