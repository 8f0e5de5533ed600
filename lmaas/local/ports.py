"""TCP ports on loopback."""

import socket
import time
from collections.abc import Iterable

LOOPBACK = "127.0.0.1"


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


def keep(port: int | None, patience_s: float = 5) -> int:
    """The given port once it is free, or another one if it stays taken."""
    deadline = time.monotonic() + patience_s
    while port is not None and not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    return choose([port])
