"""The one table from an error to an HTTP answer, and the one shape of it."""

import json
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api.moments import moment
from jobs import errors
from jobs.errors import LmaasError

# First match wins along the class's ancestry.
STATUS: dict[type[LmaasError], HTTPStatus] = {
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    errors.IdempotencyConflict: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidText: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.UnknownModel: HTTPStatus.NOT_FOUND,
    errors.UnknownJob: HTTPStatus.NOT_FOUND,
    errors.UnknownResponse: HTTPStatus.NOT_FOUND,
    errors.UnknownKey: HTTPStatus.NOT_FOUND,
    errors.DeadlineUnmeetable: HTTPStatus.CONFLICT,
    errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TooManyWaiters: HTTPStatus.SERVICE_UNAVAILABLE,
    LmaasError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

RETRY_AFTER_S = 2


def payload(
    message: str, code: str, status: int, param: str | None = None, **more: str
) -> dict[str, Any]:
    """The body of every error; `more` are the fields that one code has beside."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": param, **more}}


def answer(status: int, message: str, code: str, param: str | None = None, **more: str) -> Response:
    """An error as a response; 503 says when to try again."""
    body = json.dumps(payload(message, code, status, param, **more))
    response = Response(body, status, mimetype="application/json")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def status_of(error: LmaasError) -> HTTPStatus:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def of_error(error: LmaasError) -> Response:
    """The answer to an error of LMaaS."""
    status = status_of(error)
    more = {}
    if isinstance(error, errors.DeadlineUnmeetable) and error.earliest_finish is not None:
        more["earliest_finish"] = moment(error.earliest_finish)
    response = answer(status, error.message, error.code, error.param, **more)
    if status == HTTPStatus.UNAUTHORIZED:
        # A header each: browsers read one challenge in a line, and ask for a password.
        for scheme in ("Bearer", "Basic"):
            response.headers.add("WWW-Authenticate", f'{scheme} realm="lmaas"')
    return response


def of_validation(error: ValidationError, prefix: tuple[str, ...] = ()) -> Response:
    """The answer to a body or query that does not fit its schema: 400 if it is
    not JSON at all, else 422 with the field's path."""
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        message = f"the body is not usable JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
        return answer(HTTPStatus.BAD_REQUEST, message, errors.InvalidJson.code)
    where = ".".join(str(part) for part in (*prefix, *first["loc"])) or None
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "this field is not known"
    message = f"{where}: {reason}" if where else reason
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors.InvalidRequest.code, where)


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
