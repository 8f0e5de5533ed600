"""A receiver of webhooks: a real HTTP server on loopback that writes down what it gets."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conditions import eventually


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        """The event's."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """What it says."""
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer; `drip_s` between the bytes of its body."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    drip_s: float = 0.0


Decide = Callable[[Received], Reply]


class Receiver:
    """See the module. `decide` may be changed at any time, and may take its time."""

    def __init__(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.decide: Decide = lambda _: Reply()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._secure = context is not None
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        scheme = "https" if self._secure else "http"
        return f"{scheme}://{host}:{self.port}{path}"

    def ids(self) -> list[str]:
        """The ids of all events, as they came."""
        return [one.id for one in list(self.received)]

    def wait(self, count: int, *, within_s: float = 15) -> list[Received]:
        """At least so many requests."""
        eventually(lambda: len(self.received) >= count, within_s=within_s,
                   what=f"{count} requests at the receiver")  # fmt: skip
        return list(self.received)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 20

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) < int(self.headers["Content-Length"]):
                self.close_connection = True  # the sender died: no server takes half a request
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Received(self.path, headers, body)
            receiver.received.append(got)
            reply = receiver.decide(got)
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            for byte in reply.body if reply.drip_s else ():
                time.sleep(reply.drip_s)
                self.wfile.write(bytes([byte]))
            self.wfile.write(b"" if reply.drip_s else reply.body)

        def do_GET(self) -> None:
            self.send_response(405)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def handle(self) -> None:
            with suppress(OSError):  # whoever asked has gone
                super().handle()

    return Handler


@contextmanager
def receiving(port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """One that is closed in the end."""
    receiver = Receiver(port, context)
    try:
        yield receiver
    finally:
        receiver.close()
