"""How jobs look as chat completions and as completions, whole and in chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jobs.job_views import JobView
from jobs.states import Priority

Choice = dict[str, Any]


def tier(view: JobView) -> str:
    """The `service_tier` that a job had."""
    return "flex" if view.priority == Priority.BATCH else "default"


def reference(view: JobView) -> str:
    """The pinned model version."""
    return f"{view.model}@{view.version}"


def usage(views: Sequence[JobView]) -> dict[str, int]:
    """Tokens of all jobs of a request."""
    prompt = sum(view.prompt_tokens for view in views)
    completion = sum(view.completion_tokens or 0 for view in views)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


class Shape(Protocol):
    """One of the two shapes."""

    def head(self, first: JobView, *, chunk: bool) -> dict[str, Any]:
        """What stands beside the choices."""

    def whole(self, index: int, view: JobView) -> Choice:
        """The choice of a job that succeeded."""

    def opening(self, index: int) -> Choice | None:
        """What a job's chunks begin with."""

    def piece(self, index: int, text: str) -> Choice:
        """A chunk's choice with the next text."""

    def closing(self, index: int, view: JobView) -> Choice:
        """A chunk's choice that says why it ended."""


class ChatShape:
    """Chat completions."""

    def head(self, first: JobView, *, chunk: bool) -> dict[str, Any]:
        """See `Shape`."""
        return {
            "id": f"chatcmpl-{first.id.hex}",
            "object": "chat.completion.chunk" if chunk else "chat.completion",
            "created": int(first.submitted_at.timestamp()),
            "model": reference(first),
            "service_tier": tier(first),
            "system_fingerprint": None,
        }

    def whole(self, index: int, view: JobView) -> Choice:
        """See `Shape`."""
        message = {"role": "assistant", "content": view.text or "", "refusal": None}
        return {
            "index": index,
            "message": message,
            "finish_reason": view.finish_reason,
            "logprobs": None,
        }

    def opening(self, index: int) -> Choice | None:
        """See `Shape`."""
        return _delta(index, {"role": "assistant", "content": ""})

    def piece(self, index: int, text: str) -> Choice:
        """See `Shape`."""
        return _delta(index, {"content": text})

    def closing(self, index: int, view: JobView) -> Choice:
        """See `Shape`."""
        return _delta(index, {}, view.finish_reason)


def _delta(index: int, delta: dict[str, str], reason: str | None = None) -> Choice:
    return {"index": index, "delta": delta, "finish_reason": reason, "logprobs": None}


@dataclass(frozen=True, slots=True)
class TextShape:
    """Completions; `echoed` are the prompts, if they are to stand before the text."""

    echoed: Sequence[str]

    def head(self, first: JobView, *, chunk: bool) -> dict[str, Any]:
        """See `Shape`; chunks look like the whole."""
        return {
            "id": f"cmpl-{first.id.hex}",
            "object": "text_completion",
            "created": int(first.submitted_at.timestamp()),
            "model": reference(first),
            "system_fingerprint": None,
        }

    def whole(self, index: int, view: JobView) -> Choice:
        """See `Shape`."""
        before = self.echoed[index] if self.echoed else ""
        return _text(index, before + (view.text or ""), view.finish_reason)

    def opening(self, index: int) -> Choice | None:
        """See `Shape`."""
        return _text(index, self.echoed[index]) if self.echoed else None

    def piece(self, index: int, text: str) -> Choice:
        """See `Shape`."""
        return _text(index, text)

    def closing(self, index: int, view: JobView) -> Choice:
        """See `Shape`."""
        return _text(index, "", view.finish_reason)


def _text(index: int, text: str, reason: str | None = None) -> Choice:
    return {"index": index, "text": text, "finish_reason": reason, "logprobs": None}
