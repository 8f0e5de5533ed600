"""How these routes say no: OpenAI's codes, 400 for whatever is wrong with a body."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from flask import Response
from pydantic import ValidationError

from api import errors, presentation
from api.openai.fields import UNSUPPORTED_PARAMETER, UNSUPPORTED_VALUE
from jobs.errors import (
    InvalidRequest,
    InvalidText,
    LmaasError,
    PromptTooLong,
    UnknownTask,
)
from jobs.job_views import JobView
from jobs.states import State

_CODES = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    "literal_error": UNSUPPORTED_VALUE,
    UNSUPPORTED_VALUE: UNSUPPORTED_VALUE,
    UNSUPPORTED_PARAMETER: UNSUPPORTED_PARAMETER,
}
_SAID = {"extra_forbidden": "there is no such parameter"}
# What a worker may find wrong with a request, beside its own troubles.
_CLIENTS_FAULT = frozenset(
    kind.code for kind in (InvalidRequest, InvalidText, PromptTooLong, UnknownTask)
)


def is_clients_fault(code: str | None) -> bool:
    """Whether a job failed because of what was asked for."""
    return code in _CLIENTS_FAULT


class Refusal(Exception):
    """An answer that is an error and no retry mends: the work would be done twice."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def response(self) -> Response:
        """The error as an answer of its own."""
        made = errors.answer(self.status, self.message, self.code)
        made.headers["x-should-retry"] = "false"
        return made


def of_validation(error: ValidationError) -> Response:
    """The answer to a body or query that does not fit its schema."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return errors.of_validation(error)
    where = ".".join(str(part) for part in first["loc"]) or first.get("ctx", {}).get("param")
    said = _SAID.get(first["type"], first["msg"].removeprefix("Value error, "))
    message = f"{where}: {said}" if where else said
    code = _CODES.get(first["type"], "invalid_value")
    return errors.answer(HTTPStatus.BAD_REQUEST, message, code, where)


@contextmanager
def named(names: dict[str, str]) -> Iterator[None]:
    """Calls a field at fault by the name that it has in this route's body."""
    try:
        yield
    except LmaasError as error:
        if error.param is not None:
            plain = error.param.removeprefix("parameters.")
            error.param = names.get(error.param, plain)
        raise


def of_ended(view: JobView) -> Refusal:
    """What a job that did not succeed answers to those who waited for it."""
    code = presentation.error_code(view)
    if view.state == State.CANCELLED:
        return Refusal(HTTPStatus.CONFLICT, code, f"job {view.id} was cancelled")
    if view.state == State.EXPIRED:
        status = HTTPStatus.GATEWAY_TIMEOUT
    elif is_clients_fault(code):
        status = HTTPStatus.BAD_REQUEST
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Refusal(status, code, f"job {view.id}: {presentation.error_message(view)}")


def of_wait(job_id: object) -> Refusal:
    """Somebody waited as long as anybody may."""
    return Refusal(
        HTTPStatus.GATEWAY_TIMEOUT,
        "wait_timeout",
        f"job {job_id} goes on; GET /v1/jobs/{job_id} has its result when it ends",
    )


def of_restart(job_id: object) -> Refusal:
    """A job's worker was lost after its text was sent."""
    return Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "attempt_lost",
        f"job {job_id} starts again, what was sent of its text is void; "
        f"GET /v1/jobs/{job_id} has its result when it ends",
    )
