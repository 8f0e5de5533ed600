"""How jobs look as chat completions and as completions, whole and in chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobs.choices import Choice as Written
from jobs.job_views import JobView
from jobs.states import Priority
from routing.openai.text_logprobs import Columns, Entry, beginning

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

    def whole(self, index: int, prompt: int, written: Written) -> Choice:
        """A completion of a job that succeeded; `prompt` is the number of its prompt."""

    def opening(self, index: int, prompt: int) -> Choice | None:
        """What a completion's chunks begin with."""

    def piece(self, index: int, text: str, logprobs: Sequence[Entry] = ()) -> Choice:
        """A chunk's choice with the next text, and the logprobs of the next tokens."""

    def closing(self, index: int, written: Written) -> Choice:
        """A chunk's choice that says why it ended."""


def whole(shape: Shape, views: Sequence[JobView], each: int = 1) -> dict[str, Any]:
    """The body of the answer, from the succeeded jobs of its prompts; `each` is how
    many completions each prompt has."""
    choices = [
        shape.whole(prompt * each + number, prompt, written)
        for prompt, view in enumerate(views)
        for number, written in enumerate(view.choices)
    ]
    return shape.head(views[0], chunk=False) | {"choices": choices, "usage": usage(views)}


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

    def whole(self, index: int, prompt: int, written: Written) -> Choice:
        """See `Shape`."""
        message = {"role": "assistant", "content": written.text, "refusal": None}
        return {
            "index": index,
            "message": message,
            "finish_reason": written.finish_reason,
            "logprobs": None if written.logprobs is None else _content(written.logprobs),
        }

    def opening(self, index: int, prompt: int) -> Choice | None:
        """See `Shape`."""
        return _delta(index, {"role": "assistant", "content": ""})

    def piece(self, index: int, text: str, logprobs: Sequence[Entry] = ()) -> Choice:
        """See `Shape`."""
        choice = _delta(index, {"content": text})
        return choice | {"logprobs": _content(logprobs) if logprobs else None}

    def closing(self, index: int, written: Written) -> Choice:
        """See `Shape`."""
        return _delta(index, {}, written.finish_reason)


def _content(logprobs: Sequence[Entry]) -> dict[str, Any]:
    return {"content": list(logprobs), "refusal": None}


def _delta(index: int, delta: dict[str, str], reason: str | None = None) -> Choice:
    return {"index": index, "delta": delta, "finish_reason": reason, "logprobs": None}


@dataclass(frozen=True, slots=True)
class TextShape:
    """Completions; `echoed` are the prompts, if they are to stand before the text."""

    echoed: Sequence[str]
    _columns: dict[int, Columns] = field(default_factory=dict)

    def head(self, first: JobView, *, chunk: bool) -> dict[str, Any]:
        """See `Shape`; chunks look like the whole."""
        return {
            "id": f"cmpl-{first.id.hex}",
            "object": "text_completion",
            "created": int(first.submitted_at.timestamp()),
            "model": reference(first),
            "system_fingerprint": None,
        }

    def whole(self, index: int, prompt: int, written: Written) -> Choice:
        """See `Shape`."""
        before = self.echoed[prompt] if self.echoed else ""
        choice = _text(index, before + written.text, written.finish_reason)
        if written.logprobs is None:
            return choice
        read = (written.prompt_logprobs or []) if self.echoed else []
        columns = Columns(beginning(read, before))
        return choice | {"logprobs": columns.of([*read, *written.logprobs])}

    def opening(self, index: int, prompt: int) -> Choice | None:
        """See `Shape`."""
        return _text(index, self.echoed[prompt]) if self.echoed else None

    def piece(self, index: int, text: str, logprobs: Sequence[Entry] = ()) -> Choice:
        """See `Shape`."""
        columns = self._columns.setdefault(index, Columns())
        return _text(index, text) | {"logprobs": columns.of(logprobs) if logprobs else None}

    def closing(self, index: int, written: Written) -> Choice:
        """See `Shape`."""
        return _text(index, "", written.finish_reason)


def _text(index: int, text: str, reason: str | None = None) -> Choice:
    return {"index": index, "text": text, "finish_reason": reason, "logprobs": None}
