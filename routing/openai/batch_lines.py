"""From one line of a batch's file to its job, or to what it is refused for.

The body of a line is routed as the front door routes it, and what the front door
would answer to a bad one stands in the error file.
"""

import logging
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from jobs.batches.envelopes import Fault
from jobs.batches.limits import MOST_CUSTOM_ID
from jobs.envelopes import NewJob
from jobs.errors import LmaasError
from jobs.fields import storable
from jobs.keys import Principal
from routing import problems
from routing.openai.endpoints import ENDPOINTS, NotInABatch
from routing.openai.problems import named, of_validation
from routing.problems import Problem
from routing.request_router import BadInput, RequestRouter

_FIELDS = frozenset({"custom_id", "method", "url", "body"})
_SHOWN = 64

log = logging.getLogger(__name__)


class BadLine(Exception):
    """A line that is no request. `custom_id` is None if it has none that is of use."""

    def __init__(self, code: str, message: str, custom_id: str | None = None) -> None:
        super().__init__(code)
        self.custom_id = custom_id
        self.fault: Fault = line_fault(code, message)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is a request: its id and its body, as JSON."""

    custom_id: str
    body: bytes


def line_fault(code: str, message: str, param: str | None = None) -> Fault:
    """An error of the line itself."""
    return {"error": {"code": code, "message": message, "param": param}}


def answer_fault(problem: Problem) -> Fault:
    """An error that the front door would have answered."""
    return {"response": {"status_code": int(problem.status), "body": problem.body}}


def read(data: bytes, endpoint: str) -> Line:
    """The request in a line. Raises `BadLine` that says what is wrong with it."""
    try:
        found = from_json(data, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise BadLine("invalid_json", f"the line is not usable JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadLine("invalid_line", "the line is no JSON object")
    custom_id = _custom_id(found.get("custom_id"))
    if unknown := sorted(found.keys() - _FIELDS):
        raise BadLine("unknown_field", f"there is no field {unknown[0][:_SHOWN]!r} in a line; "
                      f"there are {', '.join(sorted(_FIELDS))}", custom_id)  # fmt: skip
    if found.get("method") != "POST":
        raise BadLine("invalid_method", '`method` is to be "POST"', custom_id)
    if found.get("url") != endpoint:
        raise BadLine("invalid_url", f"`url` is to be the batch's endpoint, {endpoint}", custom_id)
    if not isinstance(found.get("body"), dict):
        raise BadLine("invalid_body", "`body` is to be a JSON object", custom_id)
    return Line(custom_id, to_json(found["body"]))


def _custom_id(value: Any) -> str:
    if value is None:
        raise BadLine("missing_custom_id", "the line has no `custom_id`")
    if not isinstance(value, str) or not 0 < len(value) <= MOST_CUSTOM_ID:
        raise BadLine(
            "invalid_custom_id", f"`custom_id` is to be a text of 1 to {MOST_CUSTOM_ID} characters"
        )
    try:
        return storable(value)
    except ValueError as error:
        raise BadLine("invalid_custom_id", f"`custom_id` {error}") from None


def route(
    router: RequestRouter, asking: Principal, line: Line, endpoint: str, address: str
) -> NewJob | Fault:
    """The job of a line, or the error that the front door would answer. Raises what
    may be otherwise at the next try, such as `DatabaseUnavailable`."""
    try:
        return _routed(router, asking, line, endpoint, address)
    except NotInABatch as refused:
        return answer_fault(refused.problem)
    except ValidationError as error:
        return answer_fault(of_validation(error))
    except BadInput as bad:
        return answer_fault(problems.of_validation(bad.error))
    except LmaasError as error:
        if error.retryable:
            raise
        return answer_fault(problems.of_error(error))
    except Exception as error:  # noqa: BLE001 - as a request of its own it would be a 500,
        # and no line may hold up the batches of everybody; its text goes to no log.
        log.error("a line of a batch cannot be routed: %s", type(error).__name__)
        message = "something broke here; the server's log says what"
        return answer_fault(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, message, LmaasError.code))


def _routed(
    router: RequestRouter, asking: Principal, line: Line, endpoint: str, address: str
) -> NewJob:
    wanted = ENDPOINTS[endpoint].read(line.body)
    with named(dict(wanted.names)):
        job = router.route(wanted.submit, asking, address)
    asked = wanted.asked
    if asked is not None and "echo" in asked and "prompt_token_ids" in job.input:
        # Where the files are written there is no tokenizer.
        asked = asked | {"prompt": router.prompt_text(job)}
    return replace(job, asked=asked)
