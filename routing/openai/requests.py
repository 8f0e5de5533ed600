"""The bodies that these routes take; compare `openai.types` (3.51)."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from jobs.response_format import ResponseFormat
from jobs.spec import (
    MAX_COMPLETION_TOKENS,
    MAX_MESSAGES,
    MAX_PROMPT_LOGPROBS,
    FilledText,
    Metadata,
    Parameters,
    Strict,
    TokenIds,
)
from routing.openai.fields import (
    UNSUPPORTED_PARAMETER,
    CompletionBody,
    Content,
    Inert,
    OneOrMany,
    Tokens,
    only,
)

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


# The brackets keep these names out of what is said about a field.
Prompt = Annotated[
    Annotated[FilledText, Tag("<text>")] | Annotated[TokenIds, Tag("<ids>")],
    Discriminator(lambda value: "<ids>" if isinstance(value, list) else "<text>"),
]


class CompletionRequest(CompletionBody):
    """POST /v1/completions."""

    prompt: Annotated[
        Annotated[list[Prompt], Field(min_length=1, max_length=MAX_PROMPTS)],
        OneOrMany,
    ]
    max_tokens: Annotated[int, Field(ge=0, le=MAX_COMPLETION_TOKENS)] | None = _COMPLETION_TOKENS
    echo: bool | None = None

    logprobs: Annotated[int, Field(ge=0, le=MAX_PROMPT_LOGPROBS)] | None = None

    best_of: Annotated[int, Field(ge=1, le=20)] | None = None
    suffix: Annotated[Any, only("")] = None

    @property
    def said_otherwise(self) -> dict[str, Any]:
        """Here `logprobs` says how many alternatives of each token are wanted, of
        the prompt's tokens too if it is echoed."""
        wanted = self.logprobs is not None
        read = self.logprobs if self.echo else None
        return {"logprobs": wanted, "top_logprobs": self.logprobs or 0, "prompt_logprobs": read}

    @model_validator(mode="after")
    def _streams_tell_nothing_of_the_prompt(self) -> "CompletionRequest":
        if self.stream and self.echo and self.logprobs is not None:
            raise PydanticCustomError(
                UNSUPPORTED_PARAMETER,
                "streams carry no logprobs of an echoed prompt; leave out `stream` or `echo`",
                {"param": "logprobs"},
            )
        return self

    @model_validator(mode="after")
    def _all_are_the_best(self) -> "CompletionRequest":
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise PydanticCustomError(
                UNSUPPORTED_PARAMETER,
                "only what `n` is, is supported here: all completions are given, none is dropped",
                {"param": "best_of"},
            )
        return self

    def job_parameters(self) -> Parameters:
        """Parameters of every prompt's job."""
        return self.parameters(self.max_tokens)
