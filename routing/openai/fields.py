"""What the fields of OpenAI's requests mean here.

Each field is of one of three kinds: honoured (an ordinary type), `Inert` (it
changes no answer here, so any value is taken), or one that the system cannot
honour: `Annotated[Any, only(...)]` takes null and its neutral values and
refuses all others by name. To honour it, give it its type, and pass it on.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from annotated_types import GroupedMetadata
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from jobs.spec import (
    MAX_CHOICES,
    MAX_COMPLETION_TOKENS,
    LogitBias,
    Parameters,
    Penalty,
    ShortText,
    Strict,
    Text,
)
from jobs.states import Priority

UNSUPPORTED_PARAMETER = "unsupported_parameter"
UNSUPPORTED_VALUE = "unsupported_value"

_MOST_PARTS = 1_000
_TextType = Literal["text", "input_text", "output_text"]
_TEXT_PARTS = frozenset(get_args(_TextType))


class only(GroupedMetadata):  # noqa: N801 - reads as a function
    """Refuses a field by its name unless it is null or has a neutral value."""

    def __init__(self, *neutral: object) -> None:
        self._neutral = neutral

    def __iter__(self) -> Iterator[object]:
        yield AfterValidator(self._check)
        said = "not supported: leave it out, or give its neutral value"
        yield WithJsonSchema({"enum": [None, *self._neutral], "description": said})

    def _check(self, value: object) -> object:
        if value is None or any(_same(value, fine) for fine in self._neutral):
            return value
        raise PydanticCustomError(
            UNSUPPORTED_PARAMETER, "this parameter is not supported here; leave it out"
        )


def _same(value: object, fine: object) -> bool:
    # In Python, True == 1; in JSON it is not.
    return value == fine and isinstance(value, bool) == isinstance(fine, bool)


Inert = Annotated[Any, Field(description="accepted; it changes nothing here")]


class TextPart(BaseModel):
    """Content as a part; text is the only type that the models here read."""

    type: _TextType
    text: str


def _joined(value: object) -> object:
    if not isinstance(value, list) or len(value) > _MOST_PARTS:
        return value
    texts = []
    for number, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _TEXT_PARTS:
            raise PydanticCustomError(
                UNSUPPORTED_VALUE,
                "part {number} is no text; only text is supported here",
                {"number": number},
            )
        if not isinstance(part.get("text"), str):
            raise PydanticCustomError(
                "value_error", "part {number} has no text", {"number": number}
            )
        texts.append(part["text"])
    return "\n".join(texts)


# Several parts become one text, a line each.
Content = Annotated[Text, BeforeValidator(_joined, json_schema_input_type=str | list[TextPart])]


def in_a_list(value: object, reader: ValidatorFunctionWrapHandler, *inside: int | str) -> object:
    """What was read of a list that the writer left out. A fault is told of what was
    written: without the places `inside` the list."""
    try:
        return reader(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        said = PydanticCustomError("value_error", "{said}", {"said": first["msg"]})
        fault: InitErrorDetails = {
            "type": said, "loc": first["loc"][len(inside) :], "input": None
        }  # fmt: skip
        raise ValidationError.from_exception_data(error.title, [fault]) from None


def _stops(value: object, reader: ValidatorFunctionWrapHandler) -> object:
    return in_a_list([value], reader, 0) if isinstance(value, str) else reader(value)


Stop = Annotated[
    Annotated[list[ShortText], Field(max_length=16)] | None,
    WrapValidator(_stops, json_schema_input_type=str | list[str] | None),
]


def _texts_or_ids(value: object, reader: ValidatorFunctionWrapHandler) -> object:
    alone = isinstance(value, str) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], int)
    )
    if not alone and not isinstance(value, list):
        raise PydanticCustomError(
            "value_error", "a text, a list of token ids, or a list of either is expected"
        )
    return in_a_list([value], reader, 0) if alone else reader(value)


# Before a list of texts or token ids: a text or the token ids of one are a list of one.
OneOrMany = WrapValidator(
    _texts_or_ids, json_schema_input_type=str | list[int] | list[str] | list[list[int]]
)
Tokens = Annotated[int, Field(ge=1, le=MAX_COMPLETION_TOKENS)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class Body(Strict):
    """What the bodies of all three routes have in common."""

    model: ShortText
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    user: Inert = None

    @property
    def priority(self) -> Priority:
        """The class of the jobs: somebody waits for them, unless he said otherwise."""
        return Priority.BATCH if self.service_tier == "flex" else Priority.INTERACTIVE

    @property
    def said_otherwise(self) -> dict[str, Any]:
        """Parameters of the job that a route calls by other names."""
        return {}

    def parameters(self, max_tokens: int | None) -> Parameters:
        """Parameters of the job, with OpenAI's defaults. What both call by the
        same name is passed on, so a field that the engine learns to honour needs
        its type here and no more."""
        names = Parameters.model_fields.keys() & type(self).model_fields.keys()
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        given |= self.said_otherwise
        given["max_tokens"] = max_tokens
        given.setdefault("temperature", 1.0)
        if "top_p" in given:  # 0 leaves the likeliest token alone, as the least above it does
            given["top_p"] = max(given["top_p"], 1e-9)
        if "seed" in given:
            given["seed"] &= 2**63 - 1
        return Parameters(**given)


class StreamOptions(Strict):
    """Options of a stream; `include_usage` adds a last chunk that counts tokens."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[Any, only(False)] = None


class CompletionBody(Body):
    """What chat completions and completions have in common."""

    stop: Stop = None
    seed: Seed | None = None
    stream_options: StreamOptions | None = None

    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @model_validator(mode="after")
    def _options_need_a_stream(self) -> "CompletionBody":
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError(
                "value_error",
                "only allowed together with `stream: true`",
                {"param": "stream_options"},
            )
        return self
