"""What becomes of a file on the command line: request lines as they are, or made of rows."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from lmaas.batch_lines import CHAT, ENDPOINTS, TASKS, Recipe, pairs, parsed
from lmaas.batch_upload import digest_of, spooled
from lmaas.cli.job_input import chosen, default_model, parameters
from lmaas.errors import BadUsage
from lmaas.tables import Table, is_json_lines, open_table
from lmaas.templates import Template, column, template

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = (
    click.option("--endpoint", type=click.Choice(ENDPOINTS), help=f"Default: {CHAT}."),
    click.option("--task", type=click.Choice(list(TASKS)), help="Instead of its endpoint."),
    click.option("--model", "-m", help="Name, name@version or alias; default: LMAAS_MODEL."),
    click.option("--prompt", metavar="TEXT", help="With {columns} of the row in it."),
    click.option("--system", metavar="TEXT", help="A system message, with {columns} too."),
    click.option("--map", "maps", multiple=True, metavar="FIELD=COLUMN",
                 help="A field of the body from a column; may be given again."),
    click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE",
                 help="A field of the body for all rows; may be given again."),
    click.option("--id", "id_column", metavar="COLUMN",
                 help="Ids of the lines; default: row-1, row-2."),
)  # fmt: skip


def recipe_options(command: F) -> F:
    """The options by which rows become requests."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return parameters(command)


class Source:
    """A file and how its rows become lines. `recipe` is None for request lines."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.path = path
        made = any(options[name] for name in ("prompt", "maps", "task"))
        ready = is_json_lines(path) and not made
        table = open_table(path)
        self._table: Table | None = None if ready else table
        self.recipe = None if ready else _recipe(table, options)
        if ready and any(value not in (None, ()) for name, value in options.items()
                         if name != "endpoint"):  # fmt: skip
            raise click.UsageError(
                f"{path.name} holds request lines, which say all that themselves; "
                "give --prompt or --map to make requests of its rows"
            )
        self.endpoint = self.recipe.endpoint if self.recipe else options["endpoint"] or _url(table)

    @property
    def id_column(self) -> str | None:
        """The column that the ids are taken from."""
        return self.recipe.id_column if self.recipe else "custom_id"

    @contextmanager
    def opened(self) -> Iterator[tuple[BinaryIO, str]]:
        """The request lines as an open file, and the sha256 of what they say."""
        if self.recipe is None or self._table is None:
            with self.path.open("rb") as file:
                yield file, digest_of(file)
            return
        with spooled(self.recipe.lines(self._table)) as found:
            yield found


def _recipe(table: Table, options: Mapping[str, Any]) -> Recipe:
    fields = pairs(options["maps"], "--map")
    prompt, system = options["prompt"], options["system"]
    from_column = fields.pop("prompt", None)
    if prompt is not None and from_column is not None:
        raise click.UsageError("give the prompt by --prompt or by --map prompt=, not by both")
    if prompt is None and from_column is None and "prompt" in (table.columns or ()):
        from_column = "prompt"
    if prompt is None and from_column is None and not fields:
        raise click.UsageError("say what to ask: --prompt 'Summarize: {text}', "
                               "or --map prompt=COLUMN")  # fmt: skip
    if options["task"] and options["endpoint"]:
        raise click.UsageError("give --task or --endpoint, not both")
    return Recipe(
        endpoint=TASKS.get(options["task"], options["endpoint"] or CHAT),
        model=options["model"] or default_model(),
        prompt=_prompt(prompt, from_column),
        system=None if system is None else template(system),
        fields=fields,
        body=_body(options),
        id_column=options["id_column"],
    )


def _prompt(text: str | None, from_column: str | None) -> Template | None:
    if text is not None:
        return template(text)
    return None if from_column is None else column(from_column)


def _body(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that all rows share."""
    names = ("max_tokens", "temperature", "top_p", "top_k", "stop", "seed")
    body = chosen({name: options[name] for name in names})
    for place, text in pairs(options["sets"], "--set").items():
        if "." in place:
            raise BadUsage(f"--set {place}: give the whole field, as JSON")
        body[place] = parsed(text)
    return body


def _url(table: Table) -> str:
    """The endpoint that the first request line names."""
    first = next(iter(table.rows()), None)
    url = None if first is None else first.get("url")
    if not isinstance(url, str):
        shown = "nothing" if first is None else json.dumps(sorted(first))[:80]
        raise BadUsage(f"{table.path.name} begins with {shown}, not with a request line "
                       "(custom_id, method, url, body); give --prompt or --map")  # fmt: skip
    return url
