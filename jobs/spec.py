"""The job envelope: what a client may ask of a language model, and what it gets.

One schema per task type. Everything is bounded; unknown fields are refused by
name. A new task type adds its input here, a row to `TASK_INPUTS`, a module
under `workers/tasks/`, and nothing else.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from jobs.states import Priority

MAX_TEXT = 400_000
MAX_MESSAGES = 1_000
MAX_COMPLETION_TOKENS = 131_072


def _storable(text: str) -> str:
    # Postgres text and jsonb hold neither; strict JSON parsers refuse lone
    # surrogates on the way in, Python callers may still carry them.
    if "\x00" in text:
        raise ValueError("contains NUL (U+0000), which cannot be stored; remove it")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("contains a lone surrogate (half of a UTF-16 pair), which is not text")
    return text


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_storable)]
FilledText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_storable)]
ShortText = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_storable)]


class Strict(BaseModel):
    """A schema that refuses unknown fields, coerced types, NaN and infinity."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, ser_json_inf_nan="null"
    )


class Task(StrEnum):
    """The task types of this release."""

    GENERATE = "generate"
    CHAT = "chat"


class Message(Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class GenerateInput(Strict):
    """Input of `generate`: the model continues the prompt as it stands."""

    prompt: FilledText


class ChatInput(Strict):
    """Input of `chat`: rendered with the model's own chat template."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]


class Parameters(Strict):
    """How the completion is generated. `temperature` 0 is greedy; `top_k` 0 and
    `top_p` 1 switch these filters off; generation ends before any string of `stop`.
    `max_tokens` null is as much as fits the model's context."""

    max_tokens: Annotated[int, Field(ge=1, le=MAX_COMPLETION_TOKENS)] | None = 128
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    stop: ShortText | Annotated[list[ShortText], Field(max_length=16)] = Field(default_factory=list)
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` as a tuple, whichever way it was given."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_storable)],
        Annotated[str, Field(max_length=512), AfterValidator(_storable)],
    ],
    Field(max_length=16),
]

TASK_INPUTS: dict[Task, type[Strict]] = {Task.GENERATE: GenerateInput, Task.CHAT: ChatInput}


Moment = Annotated[AwareDatetime, Field(strict=False)]
LONGEST_WAIT_S = 30 * 86_400


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
    max_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        default=3, description="attempts that may end in a retryable error"
    )
    stream: bool = Field(
        default=False, description="its text can be read while it grows; it passes through Redis"
    )

    @model_validator(mode="after")
    def _input_is_shallow(self) -> "Submit":
        if len(self.input) > 1:
            raise ValueError("input: one field is expected, `prompt` or `messages`")
        return self
