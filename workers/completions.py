"""What a sequence has produced so far, and how results tell of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.logprobs import TokenLogprobs, shown, shown_of_prompt

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with U+FFFD for what Postgres cannot hold: NUL, lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


@dataclass(slots=True)
class Completion:
    """One of a job's completions; `finish_reason` is None while it grows."""

    parts: list[str] = field(default_factory=list)
    tokens: int = 0
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        """Its text by now, as it is stored."""
        return storable("".join(self.parts))


def details(
    choices: Sequence[Completion],
    *,
    several: bool,
    logprobs: bool,
    prompt: Sequence[TokenLogprobs] = (),
) -> dict[str, Any]:
    """What a result holds beside its first text: all `choices` if several were
    asked for, the `logprobs` of its tokens and those of its `prompt` if they were;
    else nothing."""
    read = {"prompt_logprobs": shown_of_prompt(prompt)} if prompt else {}
    if several:
        return read | {
            "choices": [
                {"text": choice.text, "finish_reason": choice.finish_reason}
                | _logprobs(choice, logprobs)
                for choice in choices
            ]
        }
    return read | _logprobs(choices[0], logprobs)


def _logprobs(choice: Completion, wanted: bool) -> dict[str, Any]:
    return {"logprobs": [shown(entry) for entry in choice.logprobs]} if wanted else {}
