"""A batch while it runs: a bar in a terminal, a line now and then elsewhere."""

import time
from collections import deque

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lmaas.batch_answers import Batch
from lmaas.cli.output import duration
from lmaas.client import Client

_WINDOW_S = 30.0
_LINE_EVERY_S = 5.0


class Pace:
    """Lines a second over the last half minute, and how long the rest takes at that."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, ended: int) -> None:
        """Takes down how many lines had ended by then."""
        self._seen.append((now, ended))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()

    @property
    def per_s(self) -> float | None:
        """None until something has ended while we looked."""
        if len(self._seen) < 2:
            return None
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - start) if after > before and end > start else None

    def left_s(self, lines: int) -> float | None:
        """Seconds for that many lines; None if nobody can say."""
        return None if self.per_s is None else lines / self.per_s


class Shown:
    """Shows a batch on standard error, look by look."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._pace = Pace()
        self._plain = not console.is_terminal
        self._said = ("", -1)
        self._due = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            disable=self._plain,
        )
        self._row = self._bar.add_task("batch", total=None, pace="")

    def __enter__(self) -> "Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, batch: Batch) -> None:
        """One look."""
        now, counts = time.monotonic(), batch.counts
        self._pace.note(now, counts.ended)
        status = f"{batch.status}, paused" if batch.paused else batch.status
        self._bar.update(
            self._row, description=status, total=counts.total or None,
            completed=counts.ended, pace=self._sentence(batch),
        )  # fmt: skip
        said = (status, counts.ended)
        changed = status != self._said[0] or (now >= self._due and said != self._said)
        if self._plain and changed:
            self._said, self._due = said, now + _LINE_EVERY_S
            pace = self._sentence(batch)
            line = f"{batch.id} {status} {counts.ended}/{counts.total}" + (pace and f", {pace}")
            click.echo(line, err=True)

    def _sentence(self, batch: Batch) -> str:
        counts, parts = batch.counts, []
        if counts.failed:
            parts.append(f"{counts.failed} failed")
        if self._pace.per_s is not None:
            parts.append(f"{self._pace.per_s:.1f} lines/s")
            left_s = self._pace.left_s(counts.total - counts.ended)
            if left_s and not batch.paused:
                parts.append(f"{duration(left_s)} left")
        return ", ".join(parts)


def watch(client: Client, batch_id: str, timeout_s: float | None = None) -> Batch:
    """Follows a batch to its end; Ctrl-C leaves it running and says how to come back."""
    try:
        with Shown() as shown:
            return client.batches.wait(batch_id, timeout_s, shown.show)
    except KeyboardInterrupt:
        click.echo(
            f"\n{batch_id} goes on. `lmaas batch follow {batch_id}` shows it again, "
            f"`lmaas batch cancel {batch_id}` ends it",
            err=True,
        )
        raise
