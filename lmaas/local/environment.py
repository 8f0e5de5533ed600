"""The environment that every process gets: secrets travel here, never in arguments."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lmaas.errors import NothingRuns, StartFailed, StateUnusable
from lmaas.local import ports, report
from lmaas.local.checkout import Checkout
from lmaas.local.memory import Memory
from lmaas.local.orphans import MARK

WEB_PORT, FLOWER_PORT = 8080, 5555
_SERVERS = ("DATABASE_URL", "REDIS_URL")
# The mark would make a command one of the processes; a client's settings are its caller's.
_NOT_SHARED = (MARK, "LMAAS_URL", "LMAAS_API_KEY")


def given(name: str) -> str | None:
    """A variable of the caller's environment, None if it is empty."""
    return os.environ.get(name) or None


def remember_ports(memory: Memory) -> Memory:
    """Ports for web and Flower: as set, as last time, as everybody expects, else any free one."""
    chosen = dict(memory.ports)
    for name, usual in (("web", WEB_PORT), ("flower", FLOWER_PORT)):
        setting = given(f"LMAAS_{name.upper()}_PORT")
        wanted = int(setting) if setting and setting.isdigit() else None
        chosen[name] = ports.reserve([wanted, memory.ports.get(name), usual])
    return replace(memory, ports=chosen)


def for_processes(
    checkout: Checkout, memory: Memory, database_url: str, redis_url: str
) -> dict[str, str]:
    """The caller's environment and our settings over it."""
    return {
        **os.environ,
        "DATABASE_URL": _with_driver(database_url),
        "REDIS_URL": redis_url,
        "LMAAS_STORE": given("LMAAS_STORE") or str(checkout.state / "store"),
        "LMAAS_WEB_PORT": str(memory.ports["web"]),
        "LMAAS_FLOWER_PORT": str(memory.ports["flower"]),
        "LMAAS_FLOWER_BASIC_AUTH": f"lmaas:{memory.flower_password}",
        MARK: str(checkout.state),
    }


def shared(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command beside the processes needs of theirs to see what they see."""
    return {
        name: value
        for name, value in environment.items()
        if name in _SERVERS or (name.startswith("LMAAS_") and name not in _NOT_SHARED)
    }


def beside(checkout: Checkout) -> dict[str, str]:
    """The caller's environment and over it the settings of what runs in the checkout.

    Raises `NothingRuns`, and `StartFailed` if it has only begun to start.
    """
    if not report.supervisor_lives(checkout):
        raise NothingRuns
    try:
        settings: dict[str, str] = json.loads(checkout.environment_file.read_text())
    except FileNotFoundError:
        raise StartFailed("it only begins to start; `lmaas status` says when it runs") from None
    except (OSError, ValueError) as error:
        raise StateUnusable(f"{checkout.environment_file} cannot be read: {error}") from error
    path = [str(checkout.root), *filter(None, [given("PYTHONPATH")])]
    return {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(path)}


def _with_driver(url: str) -> str:
    """Platforms write postgres://, SQLAlchemy wants the driver's name."""
    for plain in ("postgres://", "postgresql://"):
        if url.startswith(plain):
            return f"postgresql+psycopg://{url.removeprefix(plain)}"
    return url


def fingerprint(environment: Mapping[str, str], data: Path | None) -> str:
    """Tells one database from another; a cluster of our own by the number it was born with."""
    if data is not None:
        return f"embedded-{(data / 'global' / 'pg_control').read_bytes()[:8].hex()}"
    return hashlib.sha256(environment["DATABASE_URL"].encode()).hexdigest()[:16]


def addresses(memory: Memory, *, flower: bool) -> dict[str, str]:
    """Where people look; empty before the ports are chosen."""
    if "web" not in memory.ports:
        return {}
    web = f"http://127.0.0.1:{memory.ports['web']}"
    shown = {"api": web, "docs": f"{web}/openapi"}
    if flower:
        shown["flower"] = f"http://127.0.0.1:{memory.ports['flower']}"
    return shown
