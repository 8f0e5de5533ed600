"""From a row of a table to a line of a batch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmaas.errors import BadUsage
from lmaas.tables import Table
from lmaas.tables.table import Row, require_columns
from lmaas.templates import Template, text_of

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
ENDPOINTS = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS)
# The endpoint that does what a task of LMaaS' own API is called.
TASKS = {"chat": CHAT, "generate": COMPLETIONS, "embed": EMBEDDINGS}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows become requests of one endpoint.

    `prompt` and `system` are texts with columns in them; `fields` are places in
    the body (`metadata.kind`) and the columns that fill them; `body` is the
    same for all. Ids come from a column, or are `row-1`, `row-2` and so on.
    """

    endpoint: str
    model: str
    prompt: Template | None = None
    system: Template | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    id_column: str | None = None

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it looks at."""
        texts = [each.columns for each in (self.prompt, self.system) if each is not None]
        ids = {self.id_column} if self.id_column else set()
        return frozenset(ids | set(self.fields.values())).union(*texts)

    def lines(self, table: Table) -> Iterator[Mapping[str, Any]]:
        """A request for each row. Raises `BadUsage`."""
        require_columns(table, self.columns)
        for number, row in enumerate(table.rows(self.columns), 1):
            yield {
                "custom_id": row_id(number, row, self.id_column),
                "method": "POST",
                "url": self.endpoint,
                "body": self.body_of(row),
            }

    def body_of(self, row: Row) -> dict[str, Any]:
        """The request's body for a row."""
        body: dict[str, Any] = {"model": self.model, **json.loads(json.dumps(self.body))}
        if self.prompt is not None:
            system = None if self.system is None else self.system.fill(row)
            for place, value in _spoken(self, self.prompt.fill(row), system).items():
                _put(body, place, value)
        for place, column in self.fields.items():
            _put(body, place, _value(place, row, column))
        return body


def row_id(number: int, row: Row, id_column: str | None) -> str:
    """The custom_id of a row, by its number from 1."""
    return f"row-{number}" if id_column is None else text_of(row, id_column)


def messages(prompt: str, system: str | None) -> list[dict[str, str]]:
    """A conversation of one question."""
    spoken = [] if system is None else [{"role": "system", "content": system}]
    return [*spoken, {"role": "user", "content": prompt}]


def _spoken(recipe: Recipe, prompt: str, system: str | None) -> dict[str, object]:
    """Where an endpoint wants prompt and system message."""
    if recipe.endpoint == CHAT:
        return {"messages": messages(prompt, system)}
    if recipe.endpoint == RESPONSES:
        said = {} if system is None else {"instructions": system}
        return {"input": prompt, **said}
    if system is not None:
        raise BadUsage(f"{recipe.endpoint} takes no system message")
    return {"input" if recipe.endpoint == EMBEDDINGS else "prompt": prompt}


def _put(body: dict[str, Any], place: str, value: object) -> None:
    *path, last = place.split(".")
    for name in path:
        body = body.setdefault(name, {})
        if not isinstance(body, dict):
            raise BadUsage(f"{place} lies in {name!r}, which is no object")
    body[last] = value


def _value(place: str, row: Row, column: str) -> object:
    """A column's value; a text that is to be a parameter is read as JSON if it is some."""
    if column not in row:
        raise BadUsage(f"a row has no column {column!r}")
    value = row[column]
    if place.startswith("input") or not isinstance(value, str):
        return value
    return parsed(value)


def parsed(text: str) -> object:
    """A number, a truth, a list or an object from its JSON; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE words as a mapping. Raises `BadUsage`."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise BadUsage(f"{option} {word!r} is not NAME=VALUE")
        found[name] = value
    return found
