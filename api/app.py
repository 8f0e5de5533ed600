"""The Flask application: `create_app` puts the parts together, nothing more."""

from flask import Request, Response, request
from flask_openapi3.models.info import Info
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from api import admission, auth, closing, errors, metrics, request_ids
from api.document import DocumentedApp
from api.openai import blueprint as openai_routes
from api.openai import refusals
from api.routes import (
    health,
    job_events,
    job_history,
    jobs_routes,
    keys_routes,
    operations,
    tenant_routes,
    webhook_log,
    webhooks_routes,
)
from api.schemas import ErrorAnswer
from api.services import Services, open_services
from jobs import failpoints, logs
from jobs.connection_errors import BodyTimeout
from jobs.errors import InvalidJson
from jobs.settings import load
from jobs.threads import end_process_with_any_thread
from lmaas.version import __version__

_BEARER = {"type": "http", "scheme": "bearer", "description": "an API key, lmaas_..."}


class RawJsonRequest(Request):
    """Hands the body to pydantic as text: its strict JSON mode refuses NaN,
    lone surrogates and deep nesting, and tells bad JSON from a bad field."""

    def get_json(self, *_: object, **__: object) -> str:
        """The undecoded body. Raises `InvalidJson` if it is not UTF-8: a
        replacement character in a prompt would be a change nobody asked for."""
        body = self._whole_body()
        if self.content_length is None and len(body) == self.max_content_length:
            # Werkzeug cuts a body of unknown length off there without a word.
            raise RequestEntityTooLarge
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise InvalidJson(
                f"the body is not usable JSON: byte {error.start} is not UTF-8"
            ) from error

    def _whole_body(self) -> bytes:
        """The body, if all of it came. Raises `BodyTimeout` or `InvalidJson`."""
        try:
            body = self.get_data()
        except (ParseException, ClientDisconnected) as error:
            if isinstance(error.__context__, BlockingIOError):  # the socket's time limit
                raise BodyTimeout("the body of the request did not come; send it again") from error
            raise InvalidJson("the body is cut off, or its chunks are none") from error
        if self.content_length is not None and len(body) < self.content_length:
            raise InvalidJson(
                f"the body is cut off: {len(body)} of {self.content_length} bytes came"
            )
        return body


def create_app() -> DocumentedApp:
    """The application of one web process, from the environment."""
    settings = load()
    logs.configure(settings, "web")
    failpoints.arm(settings.failpoints)
    end_process_with_any_thread()
    return build(open_services(settings))


def build(services: Services) -> DocumentedApp:
    """The application over given services."""
    app = DocumentedApp(
        "api",
        info=Info(title="LMaaS", version=__version__),
        security_schemes={"key": _BEARER},
        validation_error_model=ErrorAnswer,
        validation_error_callback=_of_validation,
        doc_prefix="/openapi",
    )
    app.request_class = RawJsonRequest
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    request_ids.register(app)
    closing.register(app, services)
    errors.register(app, services.settings.max_body_bytes)
    metrics.register(app, services)
    auth.register(app, services.authenticator)
    admission.register(app)
    for make in (jobs_routes, job_history, job_events, keys_routes, operations, tenant_routes,
                 health, webhooks_routes, webhook_log, openai_routes):  # fmt: skip
        app.register_api(make.blueprint(services))
    return app


def _of_validation(error: ValidationError) -> Response:
    if request.blueprint == openai_routes.NAME:
        return refusals.of_validation(error)
    return errors.of_validation(error)
