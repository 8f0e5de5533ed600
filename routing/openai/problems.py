"""What is said of a request of OpenAI's that is refused, or whose job did not succeed."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from pydantic import ValidationError

from jobs.endings import error_code, error_message
from jobs.errors import InvalidRequest, InvalidText, LmaasError, PromptTooLong, UnknownTask
from jobs.job_views import JobView
from jobs.states import State
from routing import problems
from routing.openai.fields import UNSUPPORTED_PARAMETER, UNSUPPORTED_VALUE
from routing.problems import Problem

_CODES = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    "literal_error": UNSUPPORTED_VALUE,
    UNSUPPORTED_VALUE: UNSUPPORTED_VALUE,
    UNSUPPORTED_PARAMETER: UNSUPPORTED_PARAMETER,
}
_UNSUPPORTED = frozenset({UNSUPPORTED_PARAMETER, UNSUPPORTED_VALUE})
_SAID = {"extra_forbidden": "there is no such parameter"}
# What a worker may find wrong with a request, beside its own troubles.
_CLIENTS_FAULT = frozenset(
    kind.code for kind in (InvalidRequest, InvalidText, PromptTooLong, UnknownTask)
)


def is_clients_fault(code: str | None) -> bool:
    """Whether a job failed because of what was asked for."""
    return code in _CLIENTS_FAULT


def of_validation(error: ValidationError) -> Problem:
    """A body or query that does not fit its schema: OpenAI's codes, 400 for all. What is
    not supported is told first: what else does not fit often follows from it."""
    found = error.errors(include_url=False)
    first = next((one for one in found if _CODES.get(one["type"]) in _UNSUPPORTED), found[0])
    if first["type"] == "json_invalid":
        return problems.of_validation(error)
    where = problems.written(first["loc"]) or first.get("ctx", {}).get("param")
    said = _SAID.get(first["type"], first["msg"].removeprefix("Value error, "))
    message = f"{where}: {said}" if where else said
    code = _CODES.get(first["type"], "invalid_value")
    return Problem(HTTPStatus.BAD_REQUEST, message, code, where)


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


def of_ended(view: JobView) -> Problem:
    """What a job that did not succeed answers to those who waited for it."""
    code = error_code(view)
    if view.state == State.CANCELLED:
        return Problem(HTTPStatus.CONFLICT, f"job {view.id} was cancelled", code)
    if view.state == State.EXPIRED:
        status = HTTPStatus.GATEWAY_TIMEOUT
    elif is_clients_fault(code):
        status = HTTPStatus.BAD_REQUEST
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(status, f"job {view.id}: {error_message(view)}", code)
