"""What `Client.map` has done already, in a file: an interrupted run goes on there.

One line for each item that has a result. A line that was cut off by a crash is
passed over; the job that it was about is found again by its idempotency key.
"""

import hashlib
import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lmaas.answers import Choice, Result, Usage
from lmaas.errors import BadUsage


class Journal:
    """See the module. Holds the places of results in memory, not the results."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, int] = {}
        self._lock = threading.Lock()
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise BadUsage(f"{path} cannot be written: {error.strerror}") from error
        try:
            self._name = self._read() or self._begin()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._file.close()

    def key(self, index: int, wish: Mapping[str, Any], attempt: int) -> str:
        """The idempotency key of an item's job: the same in every run, so that a
        job whose end nobody wrote down is not run twice."""
        return f"map-{self._name}-{index}-{_digest(wish)[:16]}-{attempt}"

    def recall(self, index: int, wish: Mapping[str, Any]) -> Result | None:
        """The result of an item, if it has one. Raises `BadUsage` if another
        item, or other parameters, stood at this index."""
        with self._lock:
            if index not in self._places:
                return None
            self._file.seek(self._places[index])
            line = json.loads(self._file.readline())
        if line["of"] != _digest(wish):
            raise BadUsage(
                f"item {index} is not the one that {self._path} has a result for; "
                "give the same items and parameters, or another file"
            )
        return _result(line["result"])

    def note(self, index: int, wish: Mapping[str, Any], result: Result) -> None:
        """Writes a result down."""
        said = {"index": index, "of": _digest(wish), "result": asdict(result)}
        with self._lock:
            self._write(said)

    def _begin(self) -> str:
        name = uuid.uuid4().hex
        self._write({"journal": name})
        return name

    def _write(self, said: Mapping[str, Any]) -> None:
        self._file.seek(0, 2)
        self._file.write(json.dumps(said, ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def _read(self) -> str | None:
        self._file.seek(0)
        name: str | None = None
        place, whole = 0, True
        for number, line in enumerate(self._file):
            whole = line.endswith(b"\n")
            try:
                said = json.loads(line) if whole else {}
            except ValueError:
                said = {}  # cut off by a crash, and gone on behind it
            if number == 0 and whole:
                name = said.get("journal") if isinstance(said, dict) else None
                if name is None:
                    raise BadUsage(f"{self._path} is no journal of `Client.map`")
            elif "index" in said:
                self._places[said["index"]] = place
            place += len(line)
        if not whole:
            self._file.write(b"\n")
        return name


def _digest(wish: Mapping[str, Any]) -> str:
    said = json.dumps(wish, sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def _result(said: Mapping[str, Any]) -> Result:
    return Result(
        text=said["text"],
        finish_reason=said["finish_reason"],
        usage=Usage(**said["usage"]),
        choices=tuple(Choice(**choice) for choice in said["choices"]),
    )
