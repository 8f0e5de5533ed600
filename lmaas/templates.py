"""Texts with columns in them: `Translate {text} into {language}`.

Only `{name}` is known; a brace itself is written twice. Nothing in a value is
looked into, so a row's text cannot reach beyond its place.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmaas.errors import BadUsage


@dataclass(frozen=True, slots=True)
class Template:
    """A text in pieces: what stands before each column, and the column or None."""

    pieces: tuple[tuple[str, str | None], ...]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it needs."""
        return frozenset(name for _, name in self.pieces if name is not None)

    def fill(self, row: Mapping[str, Any]) -> str:
        """The text for a row. Raises `BadUsage` if the row has not the column."""
        return "".join(
            before if name is None else before + text_of(row, name) for before, name in self.pieces
        )


def template(text: str) -> Template:
    """Reads a template. Raises `BadUsage`."""
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise BadUsage(f"the template is not usable: {error}; write {{{{ for a brace") from error
    for _, name, form, conversion in parsed:
        if name == "" or form or conversion:
            raise BadUsage("a template knows {column} and no more; write {{ for a brace")
    return Template(tuple((before, name) for before, name, _, _ in parsed))


def column(name: str) -> Template:
    """The template that is one column as it is."""
    return Template((("", name),))


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A row's value as a text; a missing value is an empty one."""
    if name not in row:
        raise BadUsage(f"a row has no column {name!r}, only {', '.join(map(repr, row))}")
    value = row[name]
    return "" if value is None else str(value)
