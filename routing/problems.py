"""What an error says and which HTTP status it has: the one table, the one shape.

A `Problem` is an error as it goes over the wire, without the wire: the front end
answers with it, and the error file of a batch holds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs import batch_errors, connection_errors, content_errors, errors, tenant_errors
from jobs.errors import LmaasError
from jobs.webhooks import errors as webhook_errors

# First match wins along the class's ancestry.
STATUS: dict[type[LmaasError], HTTPStatus] = {
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    content_errors.FileTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.IdempotencyConflict: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidText: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.UnknownModel: HTTPStatus.NOT_FOUND,
    errors.UnknownJob: HTTPStatus.NOT_FOUND,
    errors.UnknownResponse: HTTPStatus.NOT_FOUND,
    content_errors.UnknownFile: HTTPStatus.NOT_FOUND,
    content_errors.UnknownUpload: HTTPStatus.NOT_FOUND,
    content_errors.FileGone: HTTPStatus.GONE,
    errors.UnknownBatch: HTTPStatus.NOT_FOUND,
    batch_errors.UnknownLine: HTTPStatus.NOT_FOUND,
    batch_errors.BatchStateConflict: HTTPStatus.CONFLICT,
    errors.UnknownKey: HTTPStatus.NOT_FOUND,
    webhook_errors.UnknownWebhook: HTTPStatus.NOT_FOUND,
    webhook_errors.UnknownDelivery: HTTPStatus.NOT_FOUND,
    tenant_errors.UnknownTenant: HTTPStatus.NOT_FOUND,
    tenant_errors.RateLimitExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.DeadlineUnmeetable: HTTPStatus.CONFLICT,
    errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    content_errors.StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    content_errors.JobErased: HTTPStatus.GONE,
    content_errors.JobNotEnded: HTTPStatus.CONFLICT,
    content_errors.TooManyTransfers: HTTPStatus.SERVICE_UNAVAILABLE,
    content_errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.TooManyWaiters: HTTPStatus.SERVICE_UNAVAILABLE,
    connection_errors.ServerStopping: HTTPStatus.SERVICE_UNAVAILABLE,
    connection_errors.BodyTimeout: HTTPStatus.REQUEST_TIMEOUT,
    LmaasError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


# Of pydantic's paths: after these fields stands which kind was chosen, which nobody wrote.
_CHOICES = frozenset({"response_format", "format"})
# And this after a key that is at fault itself.
_KEY = "[key]"
_SHOWN = 128


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as clients see it; `more` are the fields that one code has beside."""

    status: int
    message: str
    code: str
    param: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the answer, in OpenAI's shape."""
        server = self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        kind = "server_error" if server else "invalid_request_error"
        said = {"message": self.message, "type": kind, "code": self.code, "param": self.param}
        return {"error": {**said, **self.more}}


def status_of(error: LmaasError) -> HTTPStatus:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def of_error(error: LmaasError, **more: str) -> Problem:
    """The problem that an error of LMaaS is."""
    return Problem(status_of(error), error.message, error.code, error.param, more)


def written(path: Sequence[int | str]) -> str | None:
    """Pydantic's path of a field as its writer would say it; None for the whole body."""
    parts = [
        str(part)[:_SHOWN]
        for part, before in zip(path, (None, *path), strict=False)
        if part != _KEY and before not in _CHOICES and not str(part).startswith("<")
    ]
    return ".".join(parts) or None


def _said(detail: ErrorDetails) -> str:
    """Pydantic's sentence; of a text that another check went before, it counts "items"."""
    bound = detail.get("ctx", {}).get("max_length")
    if detail["type"] == "too_long" and isinstance(detail["input"], str):
        return f"String should have at most {bound} character{'' if bound == 1 else 's'}"
    return detail["msg"].removeprefix("Value error, ")


def of_validation(error: ValidationError, prefix: tuple[str, ...] = ()) -> Problem:
    """A body or query that does not fit its schema: 400 if it is not JSON at
    all, else 422 with the field's path."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        message = f"the body is not usable JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
        return Problem(HTTPStatus.BAD_REQUEST, message, errors.InvalidJson.code)
    where = written((*prefix, *first["loc"]))
    reason = _said(first)
    if first["type"] == "extra_forbidden":
        reason = "this field is not known"
    message = f"{where}: {reason}" if where else reason
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors.InvalidRequest.code, where)
