"""The job envelope: what a client may ask of a language model, and what it gets.

One schema per task type. Everything is bounded; unknown fields are refused by
name. A new task type adds its input here and a row to `TASK_INPUTS`; ARCHITECTURE.md
says what else it needs.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jobs.embed_input import EmbedInput
from jobs.fields import MAX_TEXT, FilledText, ShortText, Strict, Text, TokenId, storable
from jobs.moments import Moment
from jobs.response_format import ResponseFormat
from jobs.states import Priority
from jobs.webhooks.events import JobWebhook

# The building blocks are found here too, beside what is built of them.
__all__ = ["MAX_TEXT", "FilledText", "ShortText", "Strict", "Text"]

MAX_MESSAGES = 1_000
MAX_COMPLETION_TOKENS = 131_072
MAX_PROMPT_IDS = 1_000_000
MAX_CHOICES = 16
# What one result may hold in logprobs: each is a token's text and a number.
MAX_LOGPROBS = 500_000
# Of a prompt's token: a prompt is read much faster than a completion is written.
MAX_PROMPT_LOGPROBS = 5


class Task(StrEnum):
    """The task types of this release."""

    GENERATE = "generate"
    CHAT = "chat"
    EMBED = "embed"


class Message(Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


TokenIds = Annotated[list[TokenId], Field(min_length=1, max_length=MAX_PROMPT_IDS)]


class GenerateInput(Strict):
    """Input of `generate`: the model continues the prompt as it stands, a text or
    the token ids of one."""

    prompt_token_ids: TokenIds | None = None
    prompt: FilledText | None = Field(default=None, validate_default=True)

    @field_validator("prompt")
    @classmethod
    def _one_of_both(cls, prompt: str | None, seen: ValidationInfo) -> str | None:
        ids = seen.data.get("prompt_token_ids", ...)  # missing if they are at fault themselves
        if (prompt is None) == (ids is None):
            raise ValueError("a text is expected here, or else `prompt_token_ids`")
        return prompt


class ChatInput(Strict):
    """Input of `chat`: rendered with the model's own chat template."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]


# Keys of JSON objects are strings.
BiasedToken = Annotated[TokenId, Field(strict=False)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
LogitBias = Annotated[
    dict[BiasedToken, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=300)
]


class Parameters(Strict):
    """How the completion is generated; `normalize` alone is of embeddings.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1 and `min_p` 0 switch these filters
    off; generation ends before any string of `stop`. `max_tokens` null is as much as
    fits the model's context, 0 generates nothing."""

    max_tokens: Annotated[int, Field(ge=0, le=MAX_COMPLETION_TOKENS)] | None = 128
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="leaves tokens at least this likely, the likeliest being 1"
    )
    stop: ShortText | Annotated[list[ShortText], Field(max_length=16)] = Field(default_factory=list)
    stop_token_ids: Annotated[list[TokenId], Field(max_length=64)] = Field(
        default_factory=list, description="ends before these tokens, as at the model's own end"
    )
    ignore_eos: bool = Field(default=False, description="goes on after the model's own end")
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = Field(
        default=1,
        description="completions, one after the other; the second has seed + 1, and so on",
    )
    logprobs: bool = Field(default=False, description="the natural logarithm of each token's share")
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = Field(
        default=0, description="and of this many of the likeliest; needs logprobs"
    )
    prompt_logprobs: Annotated[int, Field(ge=0, le=MAX_PROMPT_LOGPROBS)] | None = Field(
        default=None,
        description="logprobs of the prompt's tokens, and of this many of the likeliest",
    )
    presence_penalty: Penalty = Field(default=0.0, description="off tokens of the completion")
    frequency_penalty: Penalty = Field(default=0.0, description="the same for each occurrence")
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10)] = Field(
        default=1.0, description="divides positive scores of tokens of prompt and completion"
    )
    logit_bias: LogitBias = Field(
        default_factory=dict, description="added to the scores of these token ids"
    )
    response_format: ResponseFormat | None = None
    normalize: bool | None = Field(
        default=None, description="of `embed`: vectors of length 1; null is as the model does"
    )

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` as a tuple, whichever way it was given."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def is_free_text(self) -> bool:
        """Whether the completion may have any form."""
        return self.response_format is None or self.response_format.type == "text"

    @field_validator("top_logprobs")
    @classmethod
    def _goes_with_logprobs(cls, top: int, seen: ValidationInfo) -> int:
        if top and not seen.data.get("logprobs"):
            raise ValueError("needs logprobs to be true")
        return top

    @field_validator("response_format")
    @classmethod
    def _ends_where_it_ends(
        cls, form: ResponseFormat | None, seen: ValidationInfo
    ) -> ResponseFormat | None:
        if form is not None and form.type != "text" and seen.data.get("ignore_eos"):
            raise ValueError("a form other than text and ignore_eos exclude each other")
        return form


Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64), AfterValidator(storable)],
        Annotated[str, Field(max_length=512), AfterValidator(storable)],
    ],
    Field(max_length=16),
]

TASK_INPUTS: dict[Task, type[Strict]] = {
    Task.GENERATE: GenerateInput,
    Task.CHAT: ChatInput,
    Task.EMBED: EmbedInput,
}


LONGEST_WAIT_S = 30 * 86_400


class OnUnmeetable(StrEnum):
    """What to do with a job that would end after its deadline."""

    ACCEPT = "accept"
    REFUSE = "refuse"


class Submit(Strict):
    """A job as a client submits it. `model` is a name (its newest version), an
    alias, or `name@version`; what it meant at submit is pinned to the job."""

    task: ShortText
    model: ShortText
    input: dict[str, Any]
    parameters: Parameters = Field(default_factory=Parameters)
    # Strict mode takes no string for an enum in Python, JSON has nothing else.
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL
    metadata: Metadata = Field(default_factory=dict)
    run_at: Moment | None = Field(default=None, description="not before")
    expires_after: Annotated[float, Field(gt=0, le=LONGEST_WAIT_S)] | None = Field(
        default=None, description="seconds it may wait; it is not started after that"
    )
    deadline: Moment | None = Field(default=None, description="ends it, waiting or running")
    on_unmeetable: Annotated[OnUnmeetable, Field(strict=False)] = Field(
        default=OnUnmeetable.ACCEPT,
        description="`refuse`: 409 with the earliest feasible time if the deadline cannot be met",
    )
    max_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        default=3, description="attempts that may end in a retryable error"
    )
    stream: bool = Field(
        default=False, description="its text can be read while it grows; it passes through Redis"
    )
    webhook: JobWebhook | None = Field(default=None, description="where its end is told")

    @model_validator(mode="after")
    def _input_is_shallow(self) -> "Submit":
        if len(self.input) > 1:
            raise ValueError(
                "input: one field is expected, `prompt`, `prompt_token_ids`, `messages` or `input`"
            )
        return self
