"""Who asks, and what they may do.

Everything but /health/* needs an API key as a bearer token. Pages that a
browser opens also take it as the password of HTTP Basic, under any user name.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from uuid import UUID

from flask import Flask, g, request
from sqlalchemy import Engine

from jobs import keys
from jobs.audit import Actor
from jobs.errors import Forbidden, Unauthenticated
from jobs.keys import Principal, Scope

# A revoked key works this much longer, in exchange for not asking Postgres
# with every request.
REMEMBER_S = 2.0
_MOST_REMEMBERED = 10_000
_OPEN = "/health/"
_PAGES = "/openapi"


class Authenticator:
    """Looks keys up, and remembers valid ones for `REMEMBER_S`. `note` is told of
    each use."""

    def __init__(self, engine: Engine, note: Callable[[UUID], None]) -> None:
        self._engine = engine
        self._note = note
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._lock = Lock()

    def principal(self, secret: str) -> Principal:
        """Whose key it is. Raises `Unauthenticated`."""
        found = self._find(secret)
        self._note(found.key_id)
        return found

    def _find(self, secret: str) -> Principal:
        wanted = keys.digest(secret)
        now = time.monotonic()
        with self._lock:
            remembered = self._known.get(wanted)
        if remembered is not None and remembered[0] > now:
            return remembered[1]
        principal = keys.authenticate(self._engine, secret)
        if principal is None:
            raise Unauthenticated("the API key is unknown, expired or revoked; ask for a new one")
        with self._lock:
            self._known[wanted] = (now + REMEMBER_S, principal)
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        return principal


def register(app: Flask, authenticator: Authenticator) -> None:
    """Lets no request pass without a key, except to /health/*."""

    @app.before_request
    def identify() -> None:
        if not request.path.startswith(_OPEN):
            g.principal = authenticator.principal(_secret())


def principal() -> Principal:
    """Who the current request speaks for."""
    found: Principal = g.principal
    return found


def require(scope: Scope) -> Principal:
    """The current principal, if its key carries the scope. Raises `Forbidden`."""
    asking = principal()
    if not asking.may(scope):
        raise Forbidden(f"this API key does not carry the scope {scope.value!r}; use one that does")
    return asking


def actor() -> Actor:
    """Who the current request speaks for, as the audit log has it."""
    asking = principal()
    return Actor("key", request.remote_addr or "", asking.tenant_id, asking.key_id)


def _secret() -> str:
    authorization = request.authorization
    if authorization is not None and authorization.type == "bearer" and authorization.token:
        return authorization.token
    pages = request.method == "GET" and request.path.startswith(_PAGES)
    if pages and authorization is not None and authorization.password:
        return authorization.password
    raise Unauthenticated(
        "an API key is needed: send the header `Authorization: Bearer lmaas_...` "
        "(`lmaas keys create` makes one)"
    )
