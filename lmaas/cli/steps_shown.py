"""The progress of a start or stop: a spinner for a terminal, lines for a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lmaas.cli.output import messages


@contextmanager
def shown_steps() -> Iterator[Callable[[str], None]]:
    """Gives a function that shows one step after the other on standard error."""
    err = messages()
    begun = time.monotonic()
    if not err.is_terminal:
        yield lambda step: err.print(f"[{time.monotonic() - begun:6.1f} s] {step}", markup=False)
        return
    with err.status("...") as status:
        last: list[tuple[str, float]] = []

        def tell(step: str) -> None:
            now = time.monotonic()
            if last and now - last[0][1] > 0.3:
                err.print(f"  {last[0][0]} ({now - last[0][1]:.1f} s)", style="dim", markup=False)
            last[:] = [(step, now)]
            status.update(step)

        yield tell
