"""How things are shown: tables for people, one JSON value for programs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lmaas.answers import Result, Timings

F = TypeVar("F", bound=Callable[..., object])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
url_option = click.option("--url", metavar="URL", help="The server; default: LMAAS_URL.")


def server_options(command: F) -> F:
    """--url and --json."""
    return url_option(json_option(command))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would end with 1; the command line knows better."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output, as wide as it is; long words are not cut when piped."""
    return _Console(highlight=False, soft_wrap=True)


def messages() -> Console:
    """Standard error: progress and hints."""
    return _Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON value on standard output."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: object) -> Any:
    """Dataclasses and times as JSON knows them."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def written(result: Result) -> str:
    """What a job made, as lines: its text, or a JSON list for each vector."""
    return "\n".join(map(json.dumps, result.embeddings)) if result.embeddings else result.text


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """A table for a terminal; tab-separated lines without a head for a pipe."""
    shown = console()
    if not rows:
        messages().print(empty)
        return
    if not shown.is_terminal:
        for row in rows:
            click.echo("\t".join(str(cell) for cell in row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(highlight=False).print(table)


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def took(times: Timings) -> str:
    """How long a job and its tokens took, as far as that is known."""
    parts = [duration(times.latency_s)]
    if times.time_to_first_token_s is not None:
        parts.append(f"first token after {_fine(times.time_to_first_token_s)}")
    if times.inter_token_s is not None:
        parts.append(f"then {_fine(times.inter_token_s)} each")
    return ", ".join(parts)


def _fine(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def ago(moment: datetime | None) -> str:
    """How long ago something was."""
    return (
        "-" if moment is None else f"{duration((datetime.now(UTC) - moment).total_seconds())} ago"
    )


def size(count: int) -> str:
    """Bytes in a readable unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count //= 1000
    return f"{count} GB"
