"""What clients did and what they were told: the outside view of a run.

One entry for each call, with when it began and ended; kept in memory, written
as JSON lines. The checker holds it against what Postgres says.
"""

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What an entry is about."""

    SUBMIT = "submit"
    SEEN = "seen"
    CANCEL = "cancel"
    BATCH = "batch"
    FAULT = "fault"


class Server(StrEnum):
    """What can be away, as a FAULT names it."""

    POSTGRES = "postgres"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Entry:
    """One call. `status` is HTTP's, None if no answer came; `id` and `state` are the
    job's as the answer told them, `text` its output. Of a SUBMIT `text` is the
    output that it must lead to. Of a FAULT `key` is the server, and the entry
    lasts from when it was away for certain until it began to come back.
    Times are seconds of this machine's clock."""

    kind: Kind
    began: float
    ended: float
    tenant: str = ""
    key: str | None = None
    status: int | None = None
    id: str | None = None
    state: str | None = None
    attempt: int | None = None
    cancel_requested: bool = False
    text: str | None = None
    completion_tokens: int | None = None
    # Of a BATCH: total, completed, failed.
    counts: list[int] | None = None


@dataclass(slots=True)
class History:
    """All entries, in the order in which they ended. Safe for many threads."""

    _entries: list[Entry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Entry) -> None:
        """Takes one more."""
        with self._lock:
            self._entries.append(entry)

    def entries(self, *kinds: Kind) -> list[Entry]:
        """Those of these kinds, or all."""
        with self._lock:
            return [entry for entry in self._entries if not kinds or entry.kind in kinds]

    def told(self) -> dict[str, Entry]:
        """The first submit that was answered with each job's id."""
        found: dict[str, Entry] = {}
        for entry in self.entries(Kind.SUBMIT):
            if entry.id is not None:
                found.setdefault(entry.id, entry)
        return found

    def away(self, server: Server) -> "Away":
        """`with history.away(Server.REDIS):` around the time it certainly is."""
        return Away(self, server)

    def write(self, path: Path) -> None:
        """One JSON object a line."""
        with path.open("w") as file:
            for entry in self.entries():
                told = {name: value for name, value in asdict(entry).items() if value is not None}
                file.write(json.dumps(told) + "\n")

    @classmethod
    def read(cls, path: Path) -> "History":
        """What `write` wrote."""
        return cls.of(
            Entry(**(given | {"kind": Kind(given["kind"])}))
            for given in map(json.loads, path.read_text().splitlines())
        )

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "History":
        """A history of these."""
        return cls(list(entries))


class Away:
    """Notes how long a server was away."""

    def __init__(self, history: History, server: Server) -> None:
        self._history, self._server = history, server
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.time()

    def __exit__(self, *_: object) -> None:
        fault = Entry(Kind.FAULT, self._began, time.time(), key=self._server.value)
        self._history.add(fault)
