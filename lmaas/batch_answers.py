"""Batches and their lines as the server answers them: frozen values, and their reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lmaas.reading import answer

BATCH_TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line has no result; `code` is stable."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Lines of a batch: all, those that succeeded, those that ended otherwise."""

    total: int
    completed: int
    failed: int

    @property
    def ended(self) -> int:
        """Lines of which nothing more will come."""
        return self.completed + self.failed


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the server knew it at the time of the answer.

    `errors` say why the whole of it failed. `report` is what a dry run found
    out. `retry_of` is the batch whose failed lines this one runs again.
    """

    id: str
    status: str
    endpoint: str
    counts: Counts
    created_at: datetime | None
    in_progress_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    input_file_id: str | None
    output_file_id: str | None
    error_file_id: str | None
    completion_window: str
    priority: str
    metadata: Mapping[str, str]
    errors: Sequence[LineError]
    paused: bool
    open: bool
    retry_of: str | None
    report: Mapping[str, Any] | None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more and its files are written."""
        return self.status in BATCH_TERMINAL


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A line that has ended. `body` is the answer that its request would have
    had; exactly one of `body` and `error` is None, unless a refusal has both."""

    line: int
    custom_id: str
    status: str
    status_code: int | None
    body: Mapping[str, Any] | None
    error: LineError | None
    raw: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.error is None and self.body is not None

    @property
    def text(self) -> str | None:
        """What the model wrote, or the JSON of what it computed; None without a result."""
        return text_of(self.body) if self.ok and self.body is not None else None

    @property
    def usage(self) -> tuple[int, int]:
        """Tokens of prompt and completion."""
        body = self.body or {}
        found = body.get("usage") or (body.get("result") or {}).get("usage") or {}
        prompt = found.get("prompt_tokens", found.get("input_tokens", 0))
        return int(prompt), int(found.get("completion_tokens", found.get("output_tokens", 0)))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is, as its stream of events tells it."""

    status: str
    counts: Counts


def text_of(body: Mapping[str, Any]) -> str:
    """The text of an answer of any endpoint; of one without text, its JSON."""
    if result := body.get("result"):  # a job
        return str(result["text"]) if "text" in result else _json(result)
    if choices := body.get("choices"):  # chat and completions
        first = choices[0]
        return str(first["message"]["content"] if "message" in first else first["text"])
    if output := body.get("output"):  # responses
        texts = [
            part.get("text", "")
            for item in output
            for part in item.get("content") or ()
            if part.get("type") == "output_text"
        ]
        return "".join(texts)
    if (data := body.get("data")) and "embedding" in data[0]:
        return _json(data[0]["embedding"])
    return _json(body)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@answer
def read_batch(body: Mapping[str, Any]) -> Batch:
    """A batch from the server's JSON."""
    times = [body.get(f"{name}_at") for name in ("completed", "failed", "expired", "cancelled")]
    return Batch(
        id=body["id"],
        status=body["status"],
        endpoint=body["endpoint"],
        counts=_counts(body.get("request_counts") or {}),
        created_at=_moment(body.get("created_at")),
        in_progress_at=_moment(body.get("in_progress_at")),
        expires_at=_moment(body.get("expires_at")),
        ended_at=_moment(next(filter(None, times), None)),
        input_file_id=body.get("input_file_id"),
        output_file_id=body.get("output_file_id"),
        error_file_id=body.get("error_file_id"),
        completion_window=body.get("completion_window", ""),
        priority=body.get("priority") or "batch",
        metadata=dict(body.get("metadata") or {}),
        errors=[_error(error) for error in (body.get("errors") or {}).get("data") or ()],
        paused=bool(body.get("paused")),
        open=bool(body.get("open")),
        retry_of=body.get("retry_of"),
        report=body.get("dry_run"),
    )


@answer
def read_line(body: Mapping[str, Any]) -> BatchLine:
    """A line's result from the server's JSON."""
    response = body.get("response") or {}
    error = _error_of(body)
    return BatchLine(
        line=int(body["line"]),
        custom_id=body.get("custom_id") or "",
        status=body.get("status", ""),
        status_code=response.get("status_code"),
        body=response.get("body"),
        error=_error(error) if error else None,
        raw=body,
    )


@answer
def read_line_error(body: Mapping[str, Any]) -> tuple[str | None, LineError]:
    """The custom_id of a line of an error file, and what went wrong."""
    return body["custom_id"], _error(_error_of(body) or {})


def _error_of(line: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error of the line itself, or what the front door would have answered."""
    return line.get("error") or ((line.get("response") or {}).get("body") or {}).get("error")


@answer
def read_progress(body: Mapping[str, Any]) -> Progress:
    """How far a batch is, from an event."""
    return Progress(body["status"], _counts(body["request_counts"]))


def _counts(body: Mapping[str, Any]) -> Counts:
    return Counts(body.get("total", 0), body.get("completed", 0), body.get("failed", 0))


def _error(body: Mapping[str, Any]) -> LineError:
    return LineError(
        code=str(body.get("code") or "unknown"),
        message=str(body.get("message") or ""),
        line=body.get("line"),
        param=body.get("param"),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
