"""One POST to an address that was checked, and to no other.

A name is resolved once; all its addresses must be allowed, and the connection goes
to one of these, so a name that changes between check and use leads nowhere else.
No redirect is followed, no proxy of the environment is asked, and one deadline
covers all of it but the resolver's own patience.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from jobs.webhooks.urls import Rules, Target, is_allowed

CONNECT_S = 5.0
MOST_ADDRESSES = 4
MOST_BODY_BYTES = 16_384
_DELIVERED = range(200, 300)
_REDIRECTS = range(300, 400)
_GONE = 410
# Longest `Retry-After` that is obeyed.
_LONGEST_PAUSE_S = 6 * 3600.0

Resolve = Callable[[str, int], Sequence[str]]


class DeliveryFailed(Exception):
    """An attempt failed: a stable code, and a sentence of our own without any text
    of the receiver and without any address."""

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.http_status = http_status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Door:
    """How receivers are reached: by which rules, which resolver, which trust, how long."""

    rules: Rules
    context: ssl.SSLContext
    timeout_s: float
    resolve: Resolve


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self, most: float = float("inf")) -> float:
        """Seconds until then, `most` at most. Raises `TimeoutError` after it."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, most)


def addresses(host: str, port: int) -> list[str]:
    """What the system's resolver says of a name. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def post(door: Door, target: Target, headers: Mapping[str, str], body: bytes) -> int:
    """Sends it; returns the status of an answer that means delivered. Raises
    `DeliveryFailed`."""
    deadline = _Deadline(door.timeout_s)
    chosen = _checked(door, target)
    try:
        with _connected(door, target, chosen, deadline) as wire:
            return _asked(wire, target, headers, body, deadline)
    except ssl.SSLCertVerificationError as error:
        code = error.verify_code
        raise DeliveryFailed("tls_failed", f"its certificate is not valid (OpenSSL code {code})"
                             ) from None  # fmt: skip
    except ssl.SSLError:
        raise DeliveryFailed("tls_failed", "TLS could not be agreed on") from None
    except TimeoutError:
        raise DeliveryFailed("timeout", f"no answer within {door.timeout_s:g} s") from None
    except http.client.HTTPException:
        raise DeliveryFailed("bad_answer", "what it answered is not HTTP") from None
    except OSError as error:
        name = type(error).__name__
        raise DeliveryFailed("connection_failed", f"no connection, or it was lost ({name})"
                             ) from None  # fmt: skip


def _checked(door: Door, target: Target) -> Sequence[str]:
    try:
        found = door.resolve(target.host, target.port)
    except (OSError, UnicodeError):
        found = ()
    if not found:
        raise DeliveryFailed("name_unknown", "the name of its host has no address")
    # One that is not allowed spoils the rest: an honest name has none.
    if not all(_is_allowed(address, door.rules) for address in found):
        raise DeliveryFailed("address_refused", "its host has an address that is not public")
    return found[:MOST_ADDRESSES]


def _is_allowed(address: str, rules: Rules) -> bool:
    try:
        return is_allowed(ipaddress.ip_address(address), rules)
    except ValueError:  # a resolver that gives no address gives none that is allowed
        return False


def _connected(
    door: Door, target: Target, chosen: Sequence[str], deadline: _Deadline
) -> socket.socket:
    for number, address in enumerate(chosen, 1):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        wire = socket.socket(family, socket.SOCK_STREAM)
        try:
            wire.settimeout(deadline.left(CONNECT_S))
            wire.connect((address, target.port))
            if target.scheme == "https":
                wire.settimeout(deadline.left())
                wire = door.context.wrap_socket(wire, server_hostname=target.host)
            return wire
        except OSError as error:
            wire.close()
            # A wrong certificate is no reason to ask the next address.
            if number == len(chosen) or isinstance(error, ssl.SSLError):
                raise
        except BaseException:
            wire.close()
            raise
    raise OSError("no address was given")


class _Reader(io.RawIOBase):
    """Reads from a socket until the deadline, however slowly it drips."""

    def __init__(self, wire: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._wire, self._deadline = wire, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._wire.settimeout(self._deadline.left())
        return self._wire.recv_into(buffer)


class _Wire:
    """What `http.client` wants of a socket that somebody else opened and closes."""

    def __init__(self, wire: socket.socket, deadline: _Deadline) -> None:
        self._wire, self._deadline = wire, deadline

    def sendall(self, data: bytes) -> None:
        self._wire.settimeout(self._deadline.left())
        self._wire.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._wire, self._deadline))

    def close(self) -> None:
        """Left to the opener."""


def _asked(
    wire: socket.socket, target: Target, headers: Mapping[str, str], body: bytes,
    deadline: _Deadline,
) -> int:  # fmt: skip
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = _Wire(wire, deadline)
    every = {"Host": target.authority, "Connection": "close", **headers}
    connection.request("POST", target.path, body, every)
    answer = connection.getresponse()
    status, retry_after = answer.status, answer.getheader("Retry-After")
    # What it says beside is of no use; left unread, the receiver would see a reset.
    with suppress(OSError, http.client.HTTPException):
        answer.read(MOST_BODY_BYTES)
    if status in _DELIVERED:
        return status
    if status in _REDIRECTS:
        code, reason = "redirect_refused", "redirects are not followed; register where it leads"
    elif status == _GONE:
        code, reason = "gone", "it answered 410 Gone"
    else:
        code, reason = "http_status", "it did not answer with a status of 200 to 299"
    raise DeliveryFailed(code, reason, http_status=status, retry_after_s=_pause_s(retry_after))


def _pause_s(header: str | None) -> float | None:
    """Seconds of a `Retry-After`, bounded; None if it says nothing of use."""
    if header is None:
        return None
    with suppress(ValueError, TypeError, IndexError, OverflowError, OSError):
        text = header.strip()
        seconds = (
            float(text)
            if text.isdecimal()
            else parsedate_to_datetime(text).timestamp() - time.time()
        )
        return max(0.0, min(seconds, _LONGEST_PAUSE_S))
    return None
