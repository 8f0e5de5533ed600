"""What the server answers, read: an object, or the error that it is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx2

from lmaas.errors import (
    DeadlineUnmeetable,
    LimitExceeded,
    RequestRefused,
    ServerAnswer,
    ServerFailed,
)


def json_object(answer: httpx2.Response) -> dict[str, Any]:
    """The object in an answer. Raises `ServerFailed` if it holds none."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ServerFailed(
            f"{answer.url} did not answer with a JSON object; is it an LMaaS server?",
            status=answer.status_code,
            code="not_json",
        )
    return body


def failure(answer: httpx2.Response) -> ServerAnswer:
    """The error that an answer is."""
    try:
        error = dict(answer.json()["error"])
        message, code = str(error["message"]), str(error["code"])
        type_, param = str(error.get("type", "")), error.get("param")
    except (ValueError, KeyError, TypeError):
        error, code, type_, param = {}, "unknown", "", None
        message = f"{answer.url} answered {answer.status_code} {answer.reason_phrase}"
    if code == "deadline_unmeetable":
        return _unmeetable(message, answer.status_code, code, error)
    if error.get("limit"):
        return _limited(message, answer, code, str(error["limit"]))
    kind = RequestRefused if answer.status_code < 500 else ServerFailed
    return kind(message, status=answer.status_code, code=code, type_=type_, param=param)


def _limited(message: str, answer: httpx2.Response, code: str, limit: str) -> LimitExceeded:
    refused = LimitExceeded(message, status=answer.status_code, code=code)
    refused.limit = limit
    said = answer.headers.get("Retry-After", "")
    refused.retry_after_s = float(said) if said.isdecimal() else None
    return refused


def _unmeetable(
    message: str, status: int, code: str, error: Mapping[str, Any]
) -> DeadlineUnmeetable:
    refused = DeadlineUnmeetable(message, status=status, code=code, param=error.get("param"))
    try:
        refused.earliest_finish = datetime.fromisoformat(error["earliest_finish"])
    except (KeyError, TypeError, ValueError):
        refused.earliest_finish = None
    return refused
