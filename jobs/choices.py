"""The completions of one job, as its result holds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion. `logprobs`, if they were asked for, has for each token its
    `token`, `bytes`, `logprob`, and the same of `top_logprobs`; `prompt_logprobs`
    are those of the prompt, which all completions share."""

    text: str
    finish_reason: str | None
    logprobs: list[dict[str, Any]] | None = None
    prompt_logprobs: list[dict[str, Any]] | None = None


def choices(
    text: str, finish_reason: str | None, details: Mapping[str, Any] | None
) -> list[Choice]:
    """All completions of a result, in order: those in its `details`, or its one text."""
    details = details or {}
    alone = {"text": text, "finish_reason": finish_reason, **details}
    read = details.get("prompt_logprobs")
    return [
        Choice(found["text"], found["finish_reason"], found.get("logprobs"), read)
        for found in details.get("choices", [alone])
    ]
