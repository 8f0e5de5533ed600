"""Where lines end: of server-sent events, of JSON lines, of texts that people give.

`str.splitlines` ends them at U+2028 and others too, which stand inside of texts.
"""

import json
from collections.abc import Iterable, Iterator

_ENDS = [(end, f"\\u{ord(end):04x}") for end in "\x85\u2028\u2029"]


def split(pieces: Iterable[bytes]) -> Iterator[str]:
    """The lines of a stream of events in UTF-8, each as soon as it is whole: they end with
    LF, CR LF or CR, and what is cut off before its end is none."""
    parts: list[bytes] = []
    returned = False
    for piece in pieces:
        # The other half of a CR LF that ended the line before.
        rest = piece[1:] if returned and piece.startswith(b"\n") else piece
        returned = piece.endswith(b"\r") or (returned and not piece)
        for line in rest.splitlines(keepends=True):
            parts.append(line)
            if line.endswith((b"\n", b"\r")):
                yield b"".join(parts).rstrip(b"\r\n").decode(errors="replace")
                parts.clear()


def json_line(value: object) -> str:
    """The value as JSON, without an end, in one line for any reader of lines."""
    line = json.dumps(value, ensure_ascii=False)
    if not line.isascii():
        for end, escaped in _ENDS:
            line = line.replace(end, escaped)
    return line
