"""Which server a client talks to when it is not told: the environment, then this checkout."""

import os
from dataclasses import dataclass

from lmaas.errors import BadUsage, NotACheckout
from lmaas.local.checkout import find_checkout
from lmaas.local.memory import Memory


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL and the key for it."""

    url: str
    api_key: str | None


def find_address(url: str | None = None, api_key: str | None = None) -> Address:
    """What was given, else LMAAS_URL and LMAAS_API_KEY, else the checkout's own server.

    The checkout's key is for the checkout's server only: it is not sent to
    another URL. Raises `BadUsage` if no server is known.
    """
    url = url or os.environ.get("LMAAS_URL") or None
    api_key = api_key or os.environ.get("LMAAS_API_KEY") or None
    if url is not None:
        return Address(url, api_key)
    try:
        memory = Memory.read(find_checkout().memory_file)
    except NotACheckout:
        memory = None
    if memory is None or "web" not in memory.ports:
        raise BadUsage(
            "no server is known: set LMAAS_URL and LMAAS_API_KEY, or start one on this machine "
            "with `lmaas up` in a checkout"
        )
    return Address(f"http://127.0.0.1:{memory.ports['web']}", api_key or memory.api_key)
