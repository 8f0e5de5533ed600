"""TCP ports on loopback."""

import socket
import sys
import time
from collections.abc import Iterable

LOOPBACK = "127.0.0.1"

_reserved: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(preferred: Iterable[int | None] = ()) -> int:
    """The first of the preferred ports that is free, else any free one."""
    for port in preferred:
        if port is not None and is_free(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    return int(port)


def reserve(preferred: Iterable[int | None] = ()) -> int:
    """As `choose`, and nobody else who reserves gets this port while this process lives:
    what will listen there may be seconds from doing so, and another start under way."""
    for port in preferred:
        if port is not None and is_free(port) and _is_mine(port):
            return port
    while not _is_mine(found := choose()):
        pass
    return found


def _is_mine(port: int) -> bool:
    """Takes the port's name in a space of names that the kernel clears by itself."""
    if port in _reserved or not sys.platform.startswith("linux"):
        return True
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0lmaas-port-{port}")
    except OSError:
        mark.close()
        return False
    mark.detach()  # open until the process ends
    _reserved.add(port)
    return True


def keep(port: int | None, patience_s: float = 5) -> int:
    """The given port once it is free, or another one if it stays taken."""
    deadline = time.monotonic() + patience_s
    while port is not None and not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    return choose([port])
