"""Which server a client talks to when it is not told: the environment, then this checkout."""

import os
from dataclasses import dataclass

from lmaas.errors import BadUsage, NotACheckout, NothingRuns
from lmaas.local.checkout import Checkout, find_checkout
from lmaas.local.memory import Memory


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL and the key for it."""

    url: str
    api_key: str | None


def find_address(url: str | None = None, api_key: str | None = None) -> Address:
    """What was given, else LMAAS_URL and LMAAS_API_KEY, else the checkout's own server.

    The checkout's key is for the checkout's server only: it is not sent to
    another URL. Raises `BadUsage` if no server is known, and `NothingRuns` if
    the checkout's own is stopped: waiting would not start it, and who else may
    have its port by now shall not see its key.
    """
    url = url or os.environ.get("LMAAS_URL") or None
    api_key = api_key or os.environ.get("LMAAS_API_KEY") or None
    if url is not None:
        return Address(url, api_key)
    checkout = memory = None
    try:
        checkout = find_checkout()
        memory = Memory.read(checkout.memory_file)
    except NotACheckout:
        pass
    if checkout is None or memory is None or "web" not in memory.ports:
        raise BadUsage(
            "no server is known: set LMAAS_URL and LMAAS_API_KEY, or start one on this machine "
            "with `lmaas up` in a checkout"
        )
    if not _runs(checkout):
        raise NothingRuns
    return Address(f"http://127.0.0.1:{memory.ports['web']}", api_key or memory.api_key)


def _runs(checkout: Checkout) -> bool:
    # Not above: it needs POSIX, and clients of servers elsewhere do not.
    from lmaas.local import report

    return report.supervisor_lives(checkout)
