"""Every error has a stable code of its own and an HTTP status."""

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from api.errors import of_error
from jobs import errors, tenant_errors
from jobs.errors import LmaasError
from routing.problems import STATUS


def family(kind: type[LmaasError]) -> Iterator[type[LmaasError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


# Classes of other test modules' making do not count.
KINDS = sorted(
    {kind for kind in family(LmaasError) if kind.__module__.startswith("jobs.")},
    key=lambda kind: kind.__name__,
)

# What the HTTP contract promises for what a client can cause.
PROMISED = {
    "invalid_json": HTTPStatus.BAD_REQUEST,
    "invalid_request": HTTPStatus.BAD_REQUEST,
    "invalid_text": HTTPStatus.UNPROCESSABLE_ENTITY,
    "context_length_exceeded": HTTPStatus.BAD_REQUEST,
    "unsupported_parameter": HTTPStatus.BAD_REQUEST,
    "task_not_found": HTTPStatus.BAD_REQUEST,
    "model_not_found": HTTPStatus.NOT_FOUND,
    "job_not_found": HTTPStatus.NOT_FOUND,
    "key_not_found": HTTPStatus.NOT_FOUND,
    "invalid_api_key": HTTPStatus.UNAUTHORIZED,
    "insufficient_scope": HTTPStatus.FORBIDDEN,
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "deadline_unmeetable": HTTPStatus.CONFLICT,
    "database_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "batch_not_found": HTTPStatus.NOT_FOUND,
    "response_not_found": HTTPStatus.NOT_FOUND,
    "previous_response_not_found": HTTPStatus.BAD_REQUEST,
    "line_not_found": HTTPStatus.NOT_FOUND,
    "batch_state_conflict": HTTPStatus.CONFLICT,
    "batch_closed": HTTPStatus.CONFLICT,
    "line_shared": HTTPStatus.CONFLICT,
    "too_many_lines": HTTPStatus.BAD_REQUEST,
    "file_not_found": HTTPStatus.NOT_FOUND,
    "upload_not_found": HTTPStatus.NOT_FOUND,
    "upload_ended": HTTPStatus.BAD_REQUEST,
    "too_many_transfers": HTTPStatus.SERVICE_UNAVAILABLE,
    "job_erased": HTTPStatus.GONE,
    "job_not_ended": HTTPStatus.CONFLICT,
    "file_gone": HTTPStatus.GONE,
    "file_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "storage_full": HTTPStatus.INSUFFICIENT_STORAGE,
    "storage_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "body_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "server_stopping": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_waiters": HTTPStatus.SERVICE_UNAVAILABLE,
    "webhook_not_found": HTTPStatus.NOT_FOUND,
    "delivery_not_found": HTTPStatus.NOT_FOUND,
    "webhook_url_refused": HTTPStatus.BAD_REQUEST,
    "too_many_webhooks": HTTPStatus.BAD_REQUEST,
    "tenant_not_found": HTTPStatus.NOT_FOUND,
    "rate_limit_exceeded": HTTPStatus.TOO_MANY_REQUESTS,
    "quota_exceeded": HTTPStatus.TOO_MANY_REQUESTS,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_answers_in_the_one_shape(kind: type[LmaasError]) -> None:
    response = of_error(kind("what was wrong", param="field"))
    assert response.mimetype == "application/json"
    assert response.status_code == PROMISED.get(kind.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    server = response.status_code >= 500
    assert response.get_json() == {
        "error": {
            "message": "what was wrong",
            "type": "server_error" if server else "invalid_request_error",
            "code": kind.code,
            "param": "field",
        }
    }


def test_codes_are_unique() -> None:
    assert [code for code, uses in Counter(kind.code for kind in KINDS).items() if uses > 1] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_in_one_sentence_what_it_means(kind: type[LmaasError]) -> None:
    assert kind.__doc__
    assert kind.__doc__.splitlines()[0].endswith(".")


def test_the_table_names_no_error_that_does_not_exist() -> None:
    assert set(STATUS) <= set(KINDS)


def test_only_unavailable_says_when_to_try_again() -> None:
    assert of_error(errors.DatabaseUnavailable("away")).headers["Retry-After"].isdecimal()
    assert "Retry-After" not in of_error(errors.UnknownJob("none")).headers


def test_an_exceeded_limit_says_which_one_when_to_try_again_and_whether() -> None:
    response = of_error(tenant_errors.QuotaExceeded("full", limit="queued_jobs", retry_after_s=7))
    assert response.headers["Retry-After"] == "7"
    assert response.headers["x-should-retry"] == "true"
    assert response.get_json()["error"]["limit"] == "queued_jobs"
    hopeless = of_error(tenant_errors.RateLimitExceeded("too large", again=False))
    assert hopeless.headers["x-should-retry"] == "false"


def test_unauthenticated_says_how_to_authenticate() -> None:
    assert "Bearer" in of_error(errors.Unauthenticated("no key")).headers["WWW-Authenticate"]
