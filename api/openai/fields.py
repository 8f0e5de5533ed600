"""What the fields of OpenAI's requests mean here.

Each field is of one of three kinds: honoured (an ordinary type), `Inert` (it
changes no answer here, so any value is taken), or one that the system cannot
honour: `Annotated[Any, only(...)]` takes null and its neutral values and
refuses all others by name. To honour it, give it its type, and pass it on.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.spec import MAX_COMPLETION_TOKENS, Parameters, ShortText, Strict, Text
from jobs.states import Priority

UNSUPPORTED_PARAMETER = "unsupported_parameter"
UNSUPPORTED_VALUE = "unsupported_value"

_MOST_PARTS = 1_000
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def only(*neutral: object) -> AfterValidator:
    """Refuses a field by its name unless it is null or has a neutral value."""

    def check(value: object) -> object:
        if value is None or any(_same(value, fine) for fine in neutral):
            return value
        raise PydanticCustomError(
            UNSUPPORTED_PARAMETER, "this parameter is not supported here; leave it out"
        )

    return AfterValidator(check)


def _same(value: object, fine: object) -> bool:
    # In Python, True == 1; in JSON it is not.
    return value == fine and isinstance(value, bool) == isinstance(fine, bool)


Inert = Annotated[Any, Field(description="accepted; it changes nothing here")]


class TextPart(Strict):
    """Content as a part; text is the only type that the models here read."""

    type: str
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


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Stop = Annotated[
    Annotated[list[ShortText], Field(max_length=16)] | None,
    BeforeValidator(_listed, json_schema_input_type=str | list[str] | None),
]
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

    def sampling(self, max_tokens: int | None, **more: Any) -> Parameters:
        """Parameters of the job, with OpenAI's defaults."""
        return Parameters(
            max_tokens=max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            # 0 leaves the likeliest token alone, as the smallest other value does.
            top_p=1.0 if self.top_p is None else max(self.top_p, 1e-9),
            **more,
        )


class StreamOptions(Strict):
    """Options of a stream; `include_usage` adds a last chunk that counts tokens."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[Any, only(False)] = None


class CompletionBody(Body):
    """What chat completions and completions have in common."""

    stop: Stop = None
    seed: Seed | None = None
    stream_options: StreamOptions | None = None

    # Not honoured yet.
    n: Annotated[Any, only(1)] = None
    presence_penalty: Annotated[Any, only(0)] = None
    frequency_penalty: Annotated[Any, only(0)] = None
    logit_bias: Annotated[Any, only({})] = None

    def parameters(self, max_tokens: int | None) -> Parameters:
        """Everything that changes what the model writes. A field that the engine
        learns to honour is passed on here."""
        seed = None if self.seed is None else self.seed & (2**63 - 1)
        return self.sampling(max_tokens, stop=self.stop or [], seed=seed)

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
