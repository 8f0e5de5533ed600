"""A model's chat template, run without trusting it.

Templates come with models and are programs. They run in Jinja's immutable
sandbox with the names that templates written for transformers expect
(https://huggingface.co/docs/transformers/chat_templating_writing).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from jobs.errors import InvalidRequest, ModelRefused

# Far above any real conversation that fits a request, far below the memory.
_MAX_CHARACTERS = 16_000_000
# What an expression in a template may raise on messages it did not expect.
_FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class ChatTemplate:
    """A compiled template; safe to use from several threads at once."""

    __slots__ = ("_special_tokens", "_template")

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self._special_tokens = dict(special_tokens)
        try:
            self._template: Template = _environment().from_string(source)
        except (TemplateError, SyntaxError, RecursionError, MemoryError) as error:
            raise ModelRefused(
                f"the chat template does not compile ({error}); import the model's original file"
            ) from error

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt up to where the assistant's answer begins.

        Raises `InvalidRequest` with the template's own words if it does not
        accept these messages.
        """
        pieces: list[str] = []
        room = _MAX_CHARACTERS
        try:
            for piece in self._template.generate(
                **self._special_tokens,
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=True,
            ):
                pieces.append(piece)
                room -= len(piece)
                if room < 0:
                    raise _refused("it makes more text than any model can read")
        except _FAILURES as error:
            raise _refused(str(error)) from error
        return "".join(pieces)


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"the model's chat template does not accept these messages: {reason[:300]}",
        param="input.messages",
    )


class _Generation(Extension):
    """`{% generation %}` marks answers for training; here it only shows them."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 declares it as an instance's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _GuardedNamespace(Namespace):
    """`namespace()`, without names that mean something to Python itself."""

    def __init__(*args: object, **values: object) -> None:
        self, *positional = args
        attributes: dict[str, object] = dict(*positional, **values)
        for name in attributes:
            _refuse_private(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: object) -> None:
        _refuse_private(name)
        Namespace.__setitem__(self, name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template may not set the attribute {name!r}")


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    functions: dict[str, Callable[..., object]] = {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _new_dict,
        "namespace": _GuardedNamespace,
    }
    environment.globals.update(functions)
    environment.globals.pop("lipsum")
    environment.filters["tojson"] = _tojson
    return environment


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _new_dict(*args: object, **values: object) -> dict[str, object]:
    made: dict[str, object] = dict(*args, **values)
    return made


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which a model has never seen.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
