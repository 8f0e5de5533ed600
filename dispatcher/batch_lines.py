"""The lines of a file, from any byte on, a bounded piece of it in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from jobs.batches.envelopes import Reach
from jobs.batches.limits import MOST_LINES_WITH_BLANK_ONES

_BLOCK_BYTES = 1 << 20
_MARK = b"\xef\xbb\xbf"  # of UTF-8, which some editors put before the first line
_LINES_EACH, _BYTES_EACH = 500, 2_000_000


class TooManyLines(Exception):
    """The file has more lines than anybody reads, blank ones counted."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that is not blank; `data` is None if it is longer than a line may be.
    `end` is how far the file is read with it."""

    data: bytes | None
    end: Reach


def raw_lines(file: BinaryIO, start: Reach, most_bytes: int) -> Iterator[RawLine]:
    """The lines behind `start`, at which the file stands. Raises `TooManyLines`."""
    at, number = start.bytes, start.line
    head, dropped = b"", 0  # of the line whose end is not read yet
    while block := file.read(_BLOCK_BYTES):
        *whole, rest = block.split(b"\n")
        for tail in whole:
            data, length = head + tail, dropped + len(head) + len(tail)
            at, number = at + length + 1, number + 1
            if number > MOST_LINES_WITH_BLANK_ONES:
                raise TooManyLines
            if (line := _line(data, length, most_bytes, Reach(at, number))) is not None:
                yield line
            head, dropped = b"", 0
        head += rest
        if len(head) > most_bytes:
            head, dropped = b"", dropped + len(head)
    length = dropped + len(head)
    if length and (line := _line(head, length, most_bytes, Reach(at + length, number + 1))):
        yield line


def _line(data: bytes, length: int, most_bytes: int, end: Reach) -> RawLine | None:
    if length > most_bytes:
        return RawLine(None, end)
    if end.line == 1:
        data = data.removeprefix(_MARK)
    return RawLine(data, end) if data.strip() else None


def chunks(lines: Iterator[RawLine]) -> Iterator[tuple[list[RawLine], bool]]:
    """The lines some at a time, and whether they are the last; at least one chunk."""
    chunk: list[RawLine] = []
    size = 0
    for line in lines:
        if chunk and (len(chunk) >= _LINES_EACH or size >= _BYTES_EACH):
            yield chunk, False
            chunk, size = [], 0
        chunk.append(line)
        size += len(line.data or b"")
    yield chunk, True
