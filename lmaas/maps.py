"""The part of `lmaas.Client` that runs a job for each of many things."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lmaas.answers import MapResult
from lmaas.batch_lines import messages
from lmaas.envelope import from_item
from lmaas.errors import BadUsage
from lmaas.map_journal import Journal
from lmaas.mapping import Asks, map_jobs
from lmaas.templates import Template, template

if TYPE_CHECKING:
    from lmaas.client import Client


class Maps:
    """Jobs over iterables and over datasets."""

    def map(  # noqa: PLR0913  what may be said of many jobs
        self,
        items: Iterable[object],
        *,
        model: str,
        task: str | None = None,
        prompt: str | None = None,
        system: str | None = None,
        in_flight: int = 64,
        progress: bool = True,
        ordered: bool = True,
        resume: str | Path | None = None,
        **options: Any,
    ) -> Iterator[MapResult]:
        """Runs one job per item, at most `in_flight` at once; the iterable may be endless.

        An item is a prompt, a list of messages, or an `input` object; with
        `task="chat"` a text is the user's message. With `prompt`, a text such
        as `Summarize: {text}`, an item is a row: a mapping of columns, as a
        `datasets.Dataset` and a `csv.DictReader` yield them (`system` as well);
        a column that a dataset has not is refused before anything is submitted.
        An item that fails yields a `MapResult` with its error and stops no
        other. `options` are those of `submit`. Leaving the loop early cancels
        what is in flight.

        With `resume`, the name of a file, results are also written down there:
        the same call after an interruption gives those again without running
        them, and goes on with the rest.
        """
        if not 1 <= in_flight <= 1024:
            raise BadUsage(f"in_flight={in_flight} is not between 1 and 1024")
        if prompt is None and system is not None:
            raise BadUsage("system= belongs to prompt=")
        _check_columns(items, prompt, system)
        options = {"model": model, "task": task, **options}
        return map_jobs(
            cast("Client", self), items, _asks(prompt, system, task), options, in_flight,
            progress=progress, ordered=ordered,
            journal=None if resume is None else Journal(Path(resume)),
        )  # fmt: skip

    def add_column(self, dataset: Any, name: str, **options: Any) -> Any:
        """The dataset (a `datasets.Dataset` or what has its `add_column`) with a
        column of results and one of errors (`<name>_error`, their codes). `options`
        are those of `map`, `prompt` and `model` above all. A column of that name is
        refused before anything is submitted."""
        if not hasattr(dataset, "add_column"):
            raise BadUsage(f"a {type(dataset).__name__} has no add_column; use map over its rows")
        added = (name, f"{name}_error")
        if taken := [column for column in added if column in (_columns_of(dataset) or ())]:
            raise BadUsage(
                f"the dataset has a column {taken[0]!r} already; choose another name "
                f"for the results, or take it out first: remove_columns({taken})"
            )
        texts: list[str | None] = []
        errors: list[str | None] = []
        # Each beside its row, whatever order was asked for.
        for done in self.map(dataset, **options | {"ordered": True}):
            texts.append(None if done.result is None else done.result.text)
            errors.append(None if done.error is None else done.error.code)
        return dataset.add_column(added[0], texts).add_column(added[1], errors)


def _columns_of(items: object) -> list[str] | None:
    """The columns that all rows have; None if only the rows themselves tell."""
    names = getattr(items, "column_names", None)
    return names if isinstance(names, list) else None


def _check_columns(items: object, *texts: str | None) -> None:
    """Raises `BadUsage` if no row can have what the texts ask for."""
    columns = _columns_of(items)
    asked = frozenset[str]().union(*(template(text).columns for text in texts if text is not None))
    missing = [] if columns is None else sorted(asked - set(columns))
    if missing:
        raise BadUsage(
            f"the dataset has no column {', '.join(map(repr, missing))}, "
            f"only {', '.join(map(repr, columns or ()))}"
        )


def _asks(prompt: str | None, system: str | None, task: str | None) -> Asks:
    if prompt is None:
        return from_item
    asked = template(prompt)
    told = None if system is None else template(system)
    return lambda item: _of_row(item, asked, told, task)


def _of_row(
    item: object, prompt: Template, system: Template | None, task: str | None
) -> dict[str, object]:
    if not isinstance(item, Mapping):
        raise BadUsage(f"an item of type {type(item).__name__} has no columns for prompt=")
    text = prompt.fill(item)
    if system is None and task != "chat":
        return {"prompt": text}
    return {"messages": messages(text, None if system is None else system.fill(item))}
