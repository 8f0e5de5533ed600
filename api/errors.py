"""From an error to an HTTP answer; statuses and words are in `routing.problems`."""

import json
from http import HTTPStatus

from flask import Flask, Response
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api.moments import moment
from jobs import errors
from jobs.content_errors import JobErased
from jobs.errors import LmaasError
from jobs.tenant_errors import RateLimitExceeded
from routing import problems
from routing.problems import Problem

RETRY_AFTER_S = 2


def of_problem(problem: Problem) -> Response:
    """A problem as a response; 503 says when to try again."""
    response = Response(json.dumps(problem.body), problem.status, mimetype="application/json")
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    if problem.status == HTTPStatus.INSUFFICIENT_STORAGE:
        response.headers["x-should-retry"] = "false"  # the same bytes again find no more room
    return response


def answer(status: int, message: str, code: str, param: str | None = None) -> Response:
    """An error that only the front end has, as a response."""
    return of_problem(Problem(status, message, code, param))


def of_error(error: LmaasError) -> Response:
    """The answer to an error of LMaaS."""
    more = {}
    if isinstance(error, errors.DeadlineUnmeetable) and error.earliest_finish is not None:
        more["earliest_finish"] = moment(error.earliest_finish)
    if isinstance(error, RateLimitExceeded) and error.limit:
        more["limit"] = error.limit
    if isinstance(error, JobErased):
        more = dict(error.fields)
    problem = problems.of_error(error, **more)
    response = of_problem(problem)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        # A header each: browsers read one challenge in a line, and ask for a password.
        for scheme in ("Bearer", "Basic"):
            response.headers.add("WWW-Authenticate", f'{scheme} realm="lmaas"')
    if isinstance(error, RateLimitExceeded):
        response.headers["Retry-After"] = str(error.retry_after_s)
        response.headers["x-should-retry"] = "true" if error.again else "false"
    return response


def of_validation(error: ValidationError, prefix: tuple[str, ...] = ()) -> Response:
    """The answer to a body or query that does not fit its schema."""
    return of_problem(problems.of_validation(error, prefix))


def register(app: Flask, max_body_bytes: int) -> None:
    """Makes every error of the app come out in the one shape."""
    app.register_error_handler(LmaasError, of_error)
    app.register_error_handler(ValidationError, of_validation)

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> Response:
        message = f"the body is larger than {max_body_bytes:,} bytes; send less, or several jobs"
        return answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "body_too_large")

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        if isinstance(error.response, Response):  # ours, from the validation of a request
            return error.response
        message = f"{status.phrase}; GET /openapi/openapi.json lists what there is"
        made = answer(status, message, status.phrase.lower().replace(" ", "_"))
        for name, value in error.get_headers():
            if name == "Allow":
                made.headers[name] = value
        return made

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        app.logger.error("a request failed", exc_info=error)
        message = "something broke here; the server's log says what"
        return answer(HTTPStatus.INTERNAL_SERVER_ERROR, message, LmaasError.code)
