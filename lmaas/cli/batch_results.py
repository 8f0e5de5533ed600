"""`lmaas batch results`: what has ended, as lines or beside the rows of a table."""

import signal
from itertools import chain
from pathlib import Path
from typing import Self

import click

from lmaas.batch_answers import Batch
from lmaas.batch_join import Join, added_columns
from lmaas.cli.exits import JOB_ENDED_BADLY, NOT_YET, OK
from lmaas.cli.output import url_option
from lmaas.client import Client
from lmaas.errors import BadUsage
from lmaas.line_ends import json_line
from lmaas.tables import open_table
from lmaas.tables.table import require_columns

ID_COLUMN = "lmaas_id_column"


@click.command()
@click.argument("batch_ids", nargs=-1, required=True, metavar="ID [RETRY_ID...]")
@click.option("--follow", "-f", is_flag=True, help="Go on until the batch has ended.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="LINE",
              help="Only the lines after this one: goes on where it stopped.")  # fmt: skip
@click.option("--join", "table", type=click.Path(path_type=Path), metavar="FILE",
              help="The CSV, JSONL or Parquet file that was submitted.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="OUT",
              help="With --join: the new file, of the same format.")  # fmt: skip
@click.option("--name", default="result", show_default=True, help="With --join: the new column.")
@url_option
def results(
    batch_ids: tuple[str, ...],
    follow: bool,
    after: int,
    table: Path | None,
    output: Path | None,
    name: str,
    url: str | None,
) -> int:
    """Print the lines that have ended as JSON, in the order of the input; or
    with --join write the submitted table with the results beside its rows.

    More ids after the first are batches of its retried lines (`lmaas batch
    retry`); in a join their results stand in for the failed ones.
    """
    if (table is None) != (output is None):
        raise click.UsageError("--join FILE and -o OUT belong together")
    if table is None and len(batch_ids) > 1:
        raise click.UsageError("several batches are only taken with --join")
    if table is not None and after:
        raise click.UsageError("--after is for lines; a join begins with the first row")
    with Client(url) as client:
        if table is None or output is None:
            return _print(client, batch_ids[0], after, follow=follow)
        return _join(client, batch_ids, table, output, name, follow=follow)


def _print(client: Client, batch_id: str, after: int, *, follow: bool) -> int:
    try:
        with WholeLines() as out:
            for line in client.batches.results(batch_id, after=after, wait=follow):
                out.tell(json_line(line.raw))
                after = line.line
                out.stop_if_asked()
    except KeyboardInterrupt:
        click.echo(f"the batch goes on; `lmaas batch results {batch_id} --follow "
                   f"--after {after}` goes on here", err=True)  # fmt: skip
        raise
    return OK


class WholeLines:
    """Ctrl-C between two lines, never within one: what was told ends with a whole line,
    and the place to go on from is the one behind it."""

    def __init__(self) -> None:
        self._telling = self._asked = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def tell(self, line: str) -> None:
        """A line on standard output; until `stop_if_asked` nothing interrupts."""
        self._telling = True
        click.echo(line)

    def stop_if_asked(self) -> None:
        """Raises `KeyboardInterrupt` if Ctrl-C came meanwhile."""
        self._telling = False
        if self._asked:
            raise KeyboardInterrupt

    def _hear(self, *_: object) -> None:
        self._asked = True
        if not self._telling:
            raise KeyboardInterrupt


def _join(
    client: Client, ids: tuple[str, ...], path: Path, output: Path, name: str, *, follow: bool
) -> int:
    table = open_table(path)
    if output.suffix.lower() != path.suffix.lower():
        raise BadUsage(f"{output.name} must end like {path.name}: the format stays")
    batches = [client.batches.get(id) for id in ids]
    _check_retries(batches)
    id_column = batches[0].metadata.get(ID_COLUMN)
    wanted = frozenset({id_column} if id_column else ())
    require_columns(table, wanted)
    lines = [client.batches.results(batch, wait=follow) for batch in batches]
    join = Join(lines, id_column, name)
    rows = table.join(output, added_columns(name), wanted, join.answer)
    said = f"{output}: {rows} rows, {join.failed} failed, {join.pending} pending"
    if join.left_over:
        said += f"; the batch has more lines than {path.name} has rows"
    click.echo(said, err=True)
    if join.pending:
        return NOT_YET
    return JOB_ENDED_BADLY if join.failed else OK


def _check_retries(batches: list[Batch]) -> None:
    known = {batches[0].id}
    for batch in batches[1:]:
        if batch.retry_of not in known:
            raise BadUsage(f"{batch.id} is no retry of {', '.join(chain(known))}")
        known.add(batch.id)
