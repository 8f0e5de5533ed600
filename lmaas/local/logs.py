"""Log files of the processes: bounded, and readable in a sentence."""

import json
import re
import shutil
from pathlib import Path

LIMIT_BYTES = 50_000_000
_TAIL_BYTES = 16_384
_GRAVITY = {"error": 1, "critical": 2}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def rotate(folder: Path) -> None:
    """Puts the last run's logs aside as NAME.log.1."""
    for log in folder.glob("*.log"):
        log.replace(log.with_name(f"{log.name}.1"))


def bound(folder: Path) -> None:
    """Empties a log that grew too long, after copying it aside.

    Writers have it open for appending, so they go on at its new end.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > LIMIT_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as opened:
                opened.truncate(0)


def last_line(log: Path) -> str:
    """What it said last: of a traceback its error, of JSON lines the gravest event."""
    try:
        with log.open("rb") as opened:
            opened.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = opened.read().decode(errors="replace").splitlines()
    except OSError:
        return "it wrote no log"
    said = [_COLOURS.sub("", line).strip() for line in lines]
    events = [_event(line) for line in said if line]
    if not events:
        return "it wrote nothing"
    gravest = max(level for level, _ in events)
    return [event for level, event in events if level == gravest][-1][:400]


def _event(line: str) -> tuple[int, str]:
    """How grave a line is, and its words; a plain line says more than a JSON notice."""
    try:
        body = json.loads(line)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "event" not in body:
        return 1, line
    return _GRAVITY.get(str(body.get("level")), 0), str(body["event"])
