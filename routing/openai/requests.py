"""The bodies that these routes take; compare `openai.types` (3.51)."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.response_format import ResponseFormat
from jobs.spec import MAX_MESSAGES, FilledText, Metadata, Parameters, Strict
from routing.openai.fields import CompletionBody, Content, Inert, Tokens, only

# Each prompt is a job; who has more sends several requests.
MAX_PROMPTS = 128
# What OpenAI writes at most when nobody says how much.
_COMPLETION_TOKENS = 16


class Turn(Strict):
    """What turns of conversations have in common; `developer` is `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class ChatMessage(Turn):
    """One turn of a chat."""

    # Some clients mark plain text so.
    type: Annotated[Any, only("text", "message")] = None
    name: Annotated[Any, only()] = None
    refusal: Annotated[Any, only()] = None
    audio: Annotated[Any, only()] = None
    annotations: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only()] = None
    tool_calls: Annotated[Any, only([])] = None
    tool_call_id: Annotated[Any, only()] = None


def spoken(turns: Iterable[Turn]) -> list[dict[str, str]]:
    """The turns as the task `chat` takes them."""
    roles = {"developer": "system"}
    return [{"role": roles.get(turn.role, turn.role), "content": turn.content} for turn in turns]


class ChatRequest(CompletionBody):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    metadata: Metadata | None = None

    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None

    audio: Annotated[Any, only()] = None
    functions: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    modalities: Annotated[Any, only(["text"])] = None
    moderation: Annotated[Any, only()] = None
    reasoning_effort: Annotated[Any, only("none")] = None
    tools: Annotated[Any, only([])] = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    verbosity: Annotated[Any, only("medium")] = None
    web_search_options: Annotated[Any, only()] = None

    parallel_tool_calls: Inert = None
    prediction: Inert = None
    prompt_cache_key: Inert = None
    prompt_cache_options: Inert = None
    prompt_cache_retention: Inert = None
    safety_identifier: Inert = None
    store: Inert = None

    def job_parameters(self) -> Parameters:
        """Parameters of the job."""
        return self.parameters(self.max_completion_tokens or self.max_tokens)

    @model_validator(mode="after")
    def _top_needs_logprobs(self) -> "ChatRequest":
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError(
                "value_error", "needs `logprobs: true`", {"param": "top_logprobs"}
            )
        return self

    @model_validator(mode="after")
    def _one_limit(self) -> "ChatRequest":
        both = (self.max_tokens, self.max_completion_tokens)
        if None not in both and both[0] != both[1]:
            raise PydanticCustomError(
                "value_error",
                "give max_tokens or max_completion_tokens, not both",
                {"param": "max_tokens"},
            )
        return self


def _prompts(value: object) -> object:
    if isinstance(value, list) and any(isinstance(one, int | list) for one in value):
        raise PydanticCustomError(
            "unsupported_value", "prompts of token ids are not supported here; send text"
        )
    return [value] if isinstance(value, str) else value


class CompletionRequest(CompletionBody):
    """POST /v1/completions."""

    prompt: Annotated[
        Annotated[list[FilledText], Field(min_length=1, max_length=MAX_PROMPTS)],
        BeforeValidator(_prompts, json_schema_input_type=str | list[str]),
    ]
    max_tokens: Tokens | None = _COMPLETION_TOKENS
    echo: bool | None = None

    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None

    best_of: Annotated[Any, only(1)] = None
    suffix: Annotated[Any, only("")] = None

    @property
    def logprobs_asked(self) -> dict[str, Any]:
        """Here `logprobs` says how many alternatives of each token are wanted."""
        wanted = self.logprobs is not None
        return {"logprobs": wanted, "top_logprobs": self.logprobs or 0}

    @model_validator(mode="after")
    def _the_prompt_has_no_logprobs(self) -> "CompletionRequest":
        if self.echo and self.logprobs is not None:
            raise PydanticCustomError(
                "unsupported_parameter",
                "logprobs of an echoed prompt are not supported here; leave out `echo`",
                {"param": "logprobs"},
            )
        return self

    def job_parameters(self) -> Parameters:
        """Parameters of every prompt's job."""
        return self.parameters(self.max_tokens)
