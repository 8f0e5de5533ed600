"""What a model, a version and an alias may be called."""

import re
from collections.abc import Iterable

from jobs.errors import ModelRefused

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REFERENCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,62})(?:@(?P<version>[1-9][0-9]{0,8}))?")


def check_name(text: str, *, kind: str = "model") -> str:
    """`text` itself, if it can name a model or an alias; else `ModelRefused`."""
    if _NAME.fullmatch(text) is None:
        raise ModelRefused(
            f"{text[:80]!r} cannot name {'an' if kind == 'alias' else 'a'} {kind}: use 1 to 63 "
            "lower-case letters, digits, '.', '_' and '-', and begin with a letter or a digit",
            param="name" if kind == "model" else "aliases",
        )
    return text


def check_aliases(aliases: Iterable[str], *, name: str) -> tuple[str, ...]:
    """The aliases without repeats, sorted; `ModelRefused` if one is no alias for `name`."""
    found = tuple(sorted({check_name(alias, kind="alias") for alias in aliases}))
    if name in found:
        raise ModelRefused(
            f"{name!r} is the model's own name; leave it out of the aliases", param="aliases"
        )
    return found


def parse_reference(text: str) -> tuple[str, int | None] | None:
    """`name` or `name@version` in its parts; `None` if the text can be neither.

    Clients send this text, so what is not in the small alphabet never reaches
    the database.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    version = match["version"]
    return match["name"], None if version is None else int(version)
