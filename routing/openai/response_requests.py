"""The body of POST /v1/responses; compare `openai.types.responses` (3.51)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from jobs.response_format import (
    JsonObjectFormat,
    JsonSchema,
    JsonSchemaFormat,
    ResponseFormat,
    TextFormat,
)
from jobs.spec import MAX_MESSAGES, Metadata, Strict, Text
from routing.openai.fields import UNSUPPORTED_VALUE, Body, Inert, Tokens, in_a_list, only
from routing.openai.requests import Turn, spoken


def _a_message(kind: object) -> object:
    if isinstance(kind, str) and kind != "message":
        raise PydanticCustomError(
            UNSUPPORTED_VALUE,
            "items of the type {kind} are not supported here; only messages are",
            {"kind": repr(kind[:64])},
        )
    return kind


class InputItem(Turn):
    """One message of a response's input; also a message that was output before."""

    type: Annotated[Literal["message"] | None, BeforeValidator(_a_message)] = None
    id: Inert = None
    phase: Annotated[Any, only()] = None
    status: Inert = None


class ResponseStreamOptions(Strict):
    """Options of a response's stream."""

    include_obfuscation: Annotated[Any, only(False)] = None


class FlatSchemaFormat(JsonSchema):
    """JSON that the schema accepts; the schema stands beside its name here."""

    type: Literal["json_schema"]


class TextOptions(Strict):
    """What a response's text is to be like."""

    format: (
        Annotated[TextFormat | JsonObjectFormat | FlatSchemaFormat, Field(discriminator="type")]
        | None
    ) = None
    verbosity: Annotated[Any, only("medium")] = None

    @property
    def response_format(self) -> ResponseFormat | None:
        """The same as jobs call it."""
        form = self.format
        if not isinstance(form, FlatSchemaFormat):
            return form
        schema = form.model_dump(exclude={"type"}, exclude_unset=True)
        return JsonSchemaFormat(type="json_schema", json_schema=JsonSchema(**schema))


def _items(value: object, reader: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, str | list):
        raise PydanticCustomError("value_error", "a text or a list of messages is expected")
    if isinstance(value, list):
        return reader(value)
    return in_a_list([{"role": "user", "content": value}], reader, 0, "content")


# What can be had in a response beside what always is.
Includable = Literal["message.output_text.logprobs"]


class ResponseRequest(Body):
    """POST /v1/responses."""

    input: Annotated[
        Annotated[list[InputItem], Field(min_length=1, max_length=MAX_MESSAGES - 1)],
        WrapValidator(_items, json_schema_input_type=str | list[InputItem]),
    ]
    background: bool | None = None
    instructions: Text | None = None
    max_output_tokens: Tokens | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    stream_options: ResponseStreamOptions | None = None

    include: Annotated[list[Includable], Field(max_length=8)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    text: TextOptions | None = None
    previous_response_id: Annotated[str, Field(max_length=64)] | None = None

    access_programs: Annotated[Any, only()] = None
    context_management: Annotated[Any, only([])] = None
    conversation: Annotated[Any, only()] = None
    image: Annotated[Any, only()] = None
    moderation: Annotated[Any, only()] = None
    prompt: Annotated[Any, only()] = None
    reasoning: Annotated[Any, only({}, {"effort": None}, {"effort": "none"})] = None
    tools: Annotated[Any, only([])] = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    truncation: Annotated[Any, only("disabled")] = None

    max_tool_calls: Inert = None
    parallel_tool_calls: Inert = None
    prompt_cache_key: Inert = None
    prompt_cache_options: Inert = None
    prompt_cache_retention: Inert = None
    safety_identifier: Inert = None

    @property
    def said_otherwise(self) -> dict[str, Any]:
        """Logprobs if they are to be included, or alternatives are asked for; the form."""
        wanted = bool(self.include or self.top_logprobs)
        form = None if self.text is None else self.text.response_format
        return {"logprobs": wanted, "top_logprobs": self.top_logprobs or 0, "response_format": form}

    def messages(self, before: Sequence[dict[str, str]] = ()) -> list[dict[str, str]]:
        """The conversation as the task `chat` takes it; `before` is what was said earlier."""
        first = [] if self.instructions is None else [
            {"role": "system", "content": self.instructions}
        ]  # fmt: skip
        return [*first, *before, *spoken(self.input)]

    @model_validator(mode="after")
    def _background_is_stored(self) -> "ResponseRequest":
        if self.background and self.store is False:
            raise PydanticCustomError(
                "value_error",
                "needs `store`, or nobody could read the result",
                {"param": "background"},
            )
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError(
                "value_error",
                "only allowed together with `stream: true`",
                {"param": "stream_options"},
            )
        return self
