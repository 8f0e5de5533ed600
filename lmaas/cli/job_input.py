"""What `lmaas submit` reads: the prompt, the parameters, the default model."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from lmaas.errors import NotACheckout
from lmaas.local.checkout import find_checkout
from lmaas.local.memory import Memory
from lmaas.local.plans import SMOLLM2

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = (
    click.option("--max-tokens", type=int, help="The most tokens to generate."),
    click.option("--temperature", type=float, help="0 is greedy."),
    click.option("--top-p", type=float),
    click.option("--top-k", type=int),
    click.option("--stop", multiple=True, help="End at this text; may be given again."),
    click.option("--seed", type=int, help="Makes sampling repeatable."),
)


def parameters(command: F) -> F:
    """The options that become a job's parameters."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given; the server has a default for every other."""
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    if "stop" in given:
        given["stop"] = list(given["stop"])
    return given


def read_prompt(argument: str | None) -> str:
    """The argument, or standard input for `-` and for a pipe."""
    if argument is not None and argument != "-":
        return argument
    if argument is None and sys.stdin.isatty():
        raise click.UsageError("give a PROMPT, or `-` to read it from standard input")
    data = sys.stdin.buffer.read()
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not UTF-8: {error}") from error


def conversation(text: str, *, chat: bool, system: str | None) -> list[dict[str, str]] | None:
    """The messages of a chat, a system message first; None if it is none."""
    if not chat and not system:
        return None
    opening = [{"role": "system", "content": system}] if system else []
    return [*opening, {"role": "user", "content": text}]


def metadata_of(pairs: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE words as a mapping."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--metadata {pair!r} is not NAME=VALUE")
        found[name] = value
    return found


def default_model() -> str:
    """LMAAS_MODEL, else the model of this checkout's last `lmaas up`."""
    setting = os.environ.get("LMAAS_MODEL")
    if setting:
        return setting
    try:
        memory = Memory.read(find_checkout().memory_file)
    except NotACheckout:
        memory = None
    return memory.default_model if memory and memory.default_model else SMOLLM2
