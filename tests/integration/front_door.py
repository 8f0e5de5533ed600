"""The web application in this process, over a real database and a real Valkey."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from api.app import build
from api.schemas import ErrorAnswer, JobAnswer
from api.services import Services, open_services
from jobs import keys, tenants
from jobs.keys import Scope
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from models_store.echo import write_folder
from models_store.importer import import_folder
from tests.integration.job_samples import value

A = TypeVar("A", bound=BaseModel)

GOOD: dict[str, Any] = {"task": "generate", "model": "echo", "input": {"prompt": "hello"}}


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """A test client and what stands behind it. `secret` is a key with all scopes."""

    app: OpenAPI
    services: Services
    tenant_id: UUID
    secret: str

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    @property
    def engine(self) -> Engine:
        return self.services.engine

    @property
    def manager(self) -> TaskManager:
        return self.services.task_manager

    def key(self, *scopes: Scope, tenant: str = "default") -> str:
        """A new key, by default of the tenant that all else belongs to."""
        tenant_id = tenants.ensure(self.engine, tenant)
        return keys.create(self.engine, tenant_id, "test", list(scopes or Scope))[1]

    def send(self, method: str, path: str, *, key: str | None = None, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {key or self.secret}"} | more.pop("headers", {})
        return self.client.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.send("GET", path, **more)

    def submit(self, body: object = None, **more: Any) -> TestResponse:
        """Sends a job; text and bytes go as they are."""
        raw = body if isinstance(body, str | bytes) else json.dumps(GOOD if body is None else body)
        return self.send("POST", "/v1/jobs", data=raw, content_type="application/json", **more)

    def accepted(self, **changes: Any) -> JobAnswer:
        """A job that was taken."""
        response = self.submit(GOOD | changes)
        assert response.status_code == 202, response.text
        return read(response, JobAnswer)

    def jobs(self) -> int:
        """How many jobs there are, of all tenants."""
        return int(value(self.engine, "SELECT count(*) FROM jobs"))


def read(response: TestResponse, shape: type[A]) -> A:
    """The answer, held against its schema: nothing missing, nothing more."""
    assert response.mimetype == "application/json"
    return shape.model_validate_json(response.text, strict=True)


def refusal(response: TestResponse) -> tuple[int, str, str | None, str]:
    """Status, code, param and message of an error."""
    error = read(response, ErrorAnswer).error
    kind = "server_error" if response.status_code >= 500 else "invalid_request_error"
    assert error.type == kind
    assert error.message
    return response.status_code, error.code, error.param, error.message


@contextmanager
def front_door(
    folder: Path, *, database_url: str, redis_url: str, **more: object
) -> Iterator[FrontDoor]:
    """Opens it, with the echo model in its store; `more` are settings."""
    settings = Settings.model_validate(
        {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "store": folder / "store"} | more
    )
    services = open_services(settings)
    source = folder / "echo"
    source.mkdir()
    write_folder(source)
    import_folder(
        source,
        name="echo",
        models_folder=settings.models_folder,
        engine=services.engine,
        aliases=("parrot",),
    )
    tenant_id = tenants.ensure(services.engine, "default")
    _, secret = keys.create(services.engine, tenant_id, "all", list(Scope))
    try:
        yield FrontDoor(build(services), services, tenant_id, secret)
    finally:
        services.notifier.stop()
        services.key_uses.stop()
        services.counting.dispose()
        services.engine.dispose()
