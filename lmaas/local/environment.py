"""The environment that every process gets: secrets travel here, never in arguments."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lmaas.local import ports
from lmaas.local.checkout import Checkout
from lmaas.local.memory import Memory
from lmaas.local.orphans import MARK

WEB_PORT, FLOWER_PORT = 8080, 5555


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
