"""What a job's result looks like; see `api.schemas`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="forbid")


class Usage(Answer):
    """Tokens that the job used."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Likelihood(Answer):
    """A token as text and as its exact bytes, and the natural logarithm of its
    share in the model's own distribution, before temperature and filters."""

    token: str
    bytes: list[int]
    logprob: float


class TokenLogprobs(Likelihood):
    """A token of the completion and the likeliest ones at its place, best first."""

    top_logprobs: list[Likelihood]


class PromptToken(Answer):
    """A token of the prompt; nothing foretells the first, its logprob is null."""

    token: str
    bytes: list[int]
    logprob: float | None
    top_logprobs: list[Likelihood]


FinishReason = Literal["stop", "length", "cancelled", "deadline"]


class Choice(Answer):
    """One of several completions."""

    text: str
    finish_reason: FinishReason
    logprobs: list[TokenLogprobs] | None


class Result(Answer):
    """What the model wrote, or the vectors of what it read; `usage` counts the
    tokens of all completions, or of all texts."""

    text: str | None = Field(description="null if the task is `embed`")
    finish_reason: FinishReason
    usage: Usage
    logprobs: list[TokenLogprobs] | None = Field(description="of `text`, if asked for")
    prompt_logprobs: list[PromptToken] | None = Field(description="if asked for")
    choices: list[Choice] | None = Field(description="all completions, if n is more than 1")
    embeddings: list[list[float]] | None = Field(
        description="a vector of each text, if the task is `embed`"
    )
