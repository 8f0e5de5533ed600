"""Requests to the server, with bounded retries where a second try cannot do harm."""

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from lmaas.errors import BadUsage, LimitExceeded, LmaasError, ServerUnreachable
from lmaas.line_ends import split
from lmaas.replies import failure, json_object
from lmaas.version import __version__

# The server says that it did nothing; a proxy in between cannot know.
_REFUSED_FOR_NOW = frozenset({429, 503})
_LOST_ON_THE_WAY = frozenset({502, 504})
_JSON = {"Content-Type": "application/json"}
# A limit per minute may want a whole one, and a little.
_LONGEST_PAUSE_S = 61.0
# Who is limited is served later and nothing is wrong: worth more patience than a fault.
_LIMITED_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class _Setback:
    """A try that gave no answer; `again` if another one can do no harm."""

    error: LmaasError
    again: bool
    retry_after: str | None = None


class Transport:
    """One server and one key; usable from several threads at once."""

    def __init__(self, base_url: str, api_key: str | None, *, patience_s: float) -> None:
        headers = {"User-Agent": f"lmaas/{__version__}"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        try:
            url = httpx2.URL(base_url.rstrip("/"))
        except httpx2.InvalidURL as error:
            raise BadUsage(f"{base_url!r} is not a URL of a server: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise BadUsage(f"{base_url!r} is not a URL of a server, such as http://127.0.0.1:8080")
        self.base_url = str(url)
        self._patience_s = patience_s
        self._closed = threading.Event()
        self._http = httpx2.Client(
            base_url=url,
            headers=headers,
            timeout=httpx2.Timeout(10, pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=256),
            # A proxy of the environment never leads to this machine itself.
            trust_env=url.host not in ("127.0.0.1", "localhost", "::1"),
        )

    def close(self) -> None:
        """Closes the connections and ends pauses between tries."""
        self._closed.set()
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | bytes | None = None,
        form: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float = 30,
        repeatable: bool = True,
    ) -> dict[str, Any]:
        """The JSON object that the server answers to a `body` (bytes are sent as they are),
        or to a `form` whose `data` are its fields and whose `files` are sent as they are read.

        A request that is `repeatable` (it changes nothing, or carries an
        idempotency key) is sent again after a lost connection; 429 and 503
        are always tried again, as `Retry-After` says, for `patience_s` in all (four
        times as long where a limit was reached), unless the server says not to.
        Raises `ServerUnreachable`, `RequestRefused` or `ServerFailed`.
        """
        content = body if body is None or isinstance(body, bytes) else _encode(body)
        request = self._http.build_request(
            method,
            path,
            content=content,
            params=query,
            headers={**_JSON, **(headers or {})} if content else headers,
            timeout=httpx2.Timeout(10, read=read_timeout_s, pool=None),
            **(form or {}),
        )
        began = time.monotonic()
        for attempt in itertools.count():
            outcome = self._try(request, repeatable=repeatable)
            if not isinstance(outcome, _Setback):
                return outcome
            pause_s = _pause(attempt, outcome.retry_after)
            limited = isinstance(outcome.error, LimitExceeded)
            patience_s = self._patience_s * (_LIMITED_PATIENCE if limited else 1)
            late = time.monotonic() + pause_s > began + patience_s
            if not outcome.again or late or self._closed.wait(pause_s):
                raise outcome.error
        raise AssertionError("unreachable: the count has no end")

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """The bytes that the server answers, as they come. Raises what `request` raises,
        and tries no second time: who reads knows what was there before."""
        with self._open(path, None, 60) as answer:
            yield answer.iter_bytes()

    @contextmanager
    def lines(
        self, path: str, *, headers: Mapping[str, str] | None = None, read_timeout_s: float = 30
    ) -> Iterator[Iterator[str]]:
        """The same as the lines of a stream of events, for as long as they come."""
        with self._open(path, headers, read_timeout_s) as answer:
            yield split(answer.iter_bytes())

    @contextmanager
    def _open(
        self, path: str, headers: Mapping[str, str] | None, read_timeout_s: float
    ) -> Iterator[httpx2.Response]:
        timeout = httpx2.Timeout(10, read=read_timeout_s, pool=None)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise failure(answer)
                yield answer
        except httpx2.RequestError as error:
            raise self._unreachable(error) from error

    def _try(self, request: httpx2.Request, *, repeatable: bool) -> "dict[str, Any] | _Setback":
        try:
            answer = self._http.send(request)
        except httpx2.RequestError as error:
            never_sent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            return _Setback(self._unreachable(error), again=repeatable or never_sent)
        if answer.status_code < 400:
            return json_object(answer)
        again = answer.status_code in _REFUSED_FOR_NOW or (
            repeatable and answer.status_code in _LOST_ON_THE_WAY
        )
        # Asked for more than it may ever have.
        again = again and answer.headers.get("x-should-retry") != "false"
        return _Setback(failure(answer), again, answer.headers.get("Retry-After"))

    def _unreachable(self, error: httpx2.RequestError) -> ServerUnreachable:
        reason = str(error) or type(error).__name__
        return ServerUnreachable(
            f"no server answers at {self.base_url} ({reason}); "
            "is it running? `lmaas status` tells, `lmaas up` starts one on this machine"
        )


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:  # NaN, a lone surrogate, an object
        raise BadUsage(f"the request cannot be written as JSON: {error}") from error


def _pause(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait: what the server says, else doubling from 0.1 s, spread by chance."""
    if retry_after is not None:
        try:
            return min(max(float(retry_after), 0.05), _LONGEST_PAUSE_S)
        except ValueError:
            pass  # a date: our own back-off is as good
    return min(0.1 * 2.0 ** min(attempt, 6), 5.0) * random.uniform(0.5, 1.0)
