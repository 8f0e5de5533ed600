"""The body of POST /v1/responses; compare `openai.types.responses` (3.51)."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.spec import MAX_MESSAGES, Metadata, Strict, Text
from routing.openai.fields import Body, Inert, Tokens, only
from routing.openai.requests import Turn, spoken


class InputItem(Turn):
    """One message of a response's input; also a message that was output before."""

    type: Literal["message"] | None = None
    id: Inert = None
    phase: Annotated[Any, only()] = None
    status: Inert = None


class ResponseStreamOptions(Strict):
    """Options of a response's stream."""

    include_obfuscation: Annotated[Any, only(False)] = None


def _items(value: object) -> object:
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


class ResponseRequest(Body):
    """POST /v1/responses."""

    input: Annotated[
        Annotated[list[InputItem], Field(min_length=1, max_length=MAX_MESSAGES - 1)],
        BeforeValidator(_items, json_schema_input_type=str | list[InputItem]),
    ]
    background: bool | None = None
    instructions: Text | None = None
    max_output_tokens: Tokens | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    stream_options: ResponseStreamOptions | None = None

    top_logprobs: Annotated[Any, only(0)] = None
    text: Annotated[Any, only({}, {"format": {"type": "text"}})] = None

    access_programs: Annotated[Any, only()] = None
    context_management: Annotated[Any, only([])] = None
    conversation: Annotated[Any, only()] = None
    image: Annotated[Any, only()] = None
    include: Annotated[Any, only([])] = None
    moderation: Annotated[Any, only()] = None
    previous_response_id: Annotated[Any, only()] = None
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

    def messages(self) -> list[dict[str, str]]:
        """The conversation as the task `chat` takes it."""
        first = [] if self.instructions is None else [
            {"role": "system", "content": self.instructions}
        ]  # fmt: skip
        return first + spoken(self.input)

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
