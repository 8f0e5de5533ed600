"""JSON that is one line of a file or of a stream of events, whoever splits it."""

from typing import Any

from pydantic_core import to_json

# JSON allows these three in a text as they are, and `str.splitlines` ends a line at
# them; what else it ends one at, JSON never holds unescaped.
_ENDS = [(end.encode(), f"\\u{ord(end):04x}".encode()) for end in "\x85\u2028\u2029"]


def json_line(value: Any) -> bytes:
    """The value in UTF-8, without an end: as few lines as there are calls of this, also
    for a reader that takes any of Unicode's separators for the end of a line."""
    line = to_json(value)
    if not line.isascii():
        for end, escaped in _ENDS:
            line = line.replace(end, escaped)
    return line
