"""Ids of jobs, events and workers: UUID version 7 (RFC 9562), made in the app.

They sort by time of creation, so the primary key's index grows at one end and
a list's cursor is an id.
"""

import hashlib
import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A fresh id; 74 random bits, so two in one millisecond do not collide."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds.to_bytes(6, "big") + os.urandom(10)
    bits = int.from_bytes(value, "big")
    bits = bits & ~(0xF << 76) | (0x7 << 76)  # version
    bits = bits & ~(0x3 << 62) | (0x2 << 62)  # variant
    return UUID(int=bits)


def derived_id(id: UUID, name: str) -> UUID:
    """The id of something that there is once for another: always the same one, and
    among ids of the time of the first."""
    told = int.from_bytes(hashlib.sha256(id.bytes + name.encode()).digest()[:8], "big")
    return UUID(int=(id.int >> 62 << 62) | (told & (2**62 - 1)))
