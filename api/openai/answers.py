"""What these routes answer; the shapes of `openai.types` (3.51)."""

from typing import Any, Literal

from flask_openapi3.models.media_type import MediaType
from flask_openapi3.models.schema import Schema
from pydantic import ConfigDict

from api.result_schemas import Answer, TokenLogprobs

_EVENTS = {"text/event-stream": MediaType(schema=Schema(type="string"))}


class Streamable(Answer):
    """An answer that also comes as server-sent events, with `stream: true`."""

    model_config = ConfigDict(openapi_extra={"content": _EVENTS})  # type: ignore[typeddict-unknown-key]


class CompletionUsage(Answer):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AssistantMessage(Answer):
    """What the model said."""

    role: Literal["assistant"]
    content: str
    refusal: None = None


class ChatLogprobs(Answer):
    """Of each token of an answer: itself, its bytes, its logprob, and alternatives."""

    content: list[TokenLogprobs]
    refusal: None = None


class TextLogprobs(Answer):
    """The same as columns; `text_offset` is where a token begins in the text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class ChatChoice(Answer):
    """One answer of the model."""

    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length"]
    logprobs: ChatLogprobs | None = None


class ChatCompletion(Streamable):
    """The answer of POST /v1/chat/completions. The job is `id` after its prefix."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage
    service_tier: Literal["default", "flex"]
    system_fingerprint: None = None


class TextChoice(Answer):
    """The continuation of one prompt."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"]
    logprobs: TextLogprobs | None = None


class TextCompletion(Streamable):
    """The answer of POST /v1/completions. The first job is `id` after its prefix."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: CompletionUsage
    system_fingerprint: None = None


class Embedding(Answer):
    """The vector of one text: numbers, or base64 of little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answer):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Answer):
    """The answer of POST /v1/embeddings: a vector of each text, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class OutputText(Answer):
    """A piece of a response's text."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[TokenLogprobs]


class OutputMessage(Answer):
    """The one item of a response's output."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class ResponseUsage(Answer):
    """Tokens that a response read and wrote."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseFailure(Answer):
    """Why a response failed: `type` is the stable code of LMaaS."""

    code: Literal["server_error", "invalid_prompt"]
    message: str
    type: str | None


class ResponseObject(Streamable):
    """A response of /v1/responses. The job is `id` after its prefix."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    background: bool
    error: ResponseFailure | None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputMessage]
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: None
    service_tier: Literal["default", "flex"]
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Literal["auto"]
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"]
    usage: ResponseUsage | None


class InputText(Answer):
    """A piece of what was said to the model."""

    type: Literal["input_text"]
    text: str


class InputItem(Answer):
    """A message of the conversation that a response answers."""

    id: str
    type: Literal["message"]
    role: Literal["system", "user", "assistant"]
    status: Literal["completed"]
    content: list[InputText | OutputText]


class InputItems(Answer):
    """A page of the conversation that a response answers."""

    object: Literal["list"]
    data: list[InputItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ResponseDeleted(Answer):
    """The response's content is gone."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]
