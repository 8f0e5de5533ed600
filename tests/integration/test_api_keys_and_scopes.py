"""Who may do what: keys, scopes, tenants."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.schemas import JobAnswer, JobList, KeyAnswer, KeyList
from jobs import keys
from jobs.keys import Scope
from tests.conditions import eventually
from tests.integration.front_door import FrontDoor, read, refusal
from tests.integration.job_samples import history


def operations(door: FrontDoor) -> list[tuple[str, str]]:
    """Every method and path of the OpenAPI document, with its parameters filled in."""
    paths: dict[str, dict[str, Any]] = door.app.api_doc["paths"]
    nobody = "018f0000-0000-7000-8000-000000000000"
    return [
        (method.upper(), path.replace("{job_id}", nobody).replace("{key_id}", nobody))
        for path, methods in paths.items()
        for method in methods
    ]


def test_the_openapi_document_holds_the_contract(door: FrontDoor) -> None:
    held = {(method, path) for method, path in operations(door)}
    job = "/v1/jobs/018f0000-0000-7000-8000-000000000000"
    assert held >= {
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        ("GET", job),
        ("POST", f"{job}/cancel"),
        ("GET", "/v1/models"),
        ("GET", "/v1/workers"),
        ("GET", "/v1/queues"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
    }


def test_every_operation_but_health_wants_a_key(door: FrontDoor) -> None:
    for method, path in operations(door):
        response = door.client.open(path, method=method)
        if path.startswith("/health/"):
            assert response.status_code == 200, path
        else:
            assert refusal(response)[:2] == (401, "invalid_api_key"), path
            assert "Bearer" in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "path", ["/metrics", "/openapi/", "/openapi/openapi.json", "/", "/v1/none", "/health",
             "/healthy/live", "//health/live", "/health/../v1/jobs", "/static/x"]
)  # fmt: skip
def test_every_other_path_wants_a_key_as_well(path: str, door: FrontDoor) -> None:
    response = door.client.get(path)
    assert response.status_code in (401, 404, 308)
    if not path.startswith(("/health/", "//health")):
        assert response.status_code == 401


def test_what_is_under_health_and_not_there_is_404(door: FrontDoor) -> None:
    assert refusal(door.client.get("/health/secrets"))[0] == 404


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer lmaas_wrong",
        "Bearer \x80\xff",
        "bearer x y z",
        "Basic",
        "Basic !!!",
        "Token {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer {key},{key}",
        "Basic {basic}",
    ],
)
def test_a_wrong_authorization_is_401(authorization: str, door: FrontDoor) -> None:
    basic = base64.b64encode(f"user:{door.secret}".encode()).decode()
    sent = authorization.replace("{key}", door.secret).replace("{basic}", basic)
    response = door.client.get("/v1/jobs", headers={"Authorization": sent})
    status, code, _, message = refusal(response)
    assert (status, code) == (401, "invalid_api_key")
    assert door.secret not in message


def test_a_browser_opens_the_pages_with_the_key_as_password(door: FrontDoor) -> None:
    credentials = base64.b64encode(f"any:{door.secret}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    assert door.client.get("/openapi/openapi.json", headers=headers).status_code == 200
    assert door.client.post("/openapi/openapi.json", headers=headers).status_code == 401


def test_an_expired_key_is_401(door: FrontDoor) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    _, secret = keys.create(door.engine, door.tenant_id, "old", [Scope.JOBS], past)
    assert refusal(door.get("/v1/jobs", key=secret))[0] == 401


def test_a_revoked_key_stops_working_within_seconds(door: FrontDoor) -> None:
    made = read(door.send("POST", "/v1/keys", json={"name": "short"}), KeyAnswer)
    assert made.key is not None
    assert door.get("/v1/jobs", key=made.key).status_code == 200
    revoked = read(door.send("DELETE", f"/v1/keys/{made.id}"), KeyAnswer)
    assert revoked.revoked_at is not None
    eventually(lambda: door.get("/v1/jobs", key=made.key).status_code == 401, within_s=5)


def test_a_key_is_shown_once_and_listed_without_itself(door: FrontDoor) -> None:
    sent = {"name": "mine", "scopes": ["jobs"], "expires_at": "2099-01-01T00:00:00+01:00"}
    response = door.send("POST", "/v1/keys", json=sent)
    assert response.status_code == 201
    made = read(response, KeyAnswer)
    assert made.key is not None
    assert made.key.startswith(made.prefix)
    assert made.expires_at == "2098-12-31T23:00:00Z"
    response = door.get("/v1/keys")
    assert made.id in [key.id for key in read(response, KeyList).data]
    assert made.key not in response.text


def test_a_key_without_the_scope_is_403(door: FrontDoor) -> None:
    worker = door.key(Scope.JOBS)
    for method, path in [("GET", "/v1/keys"), ("DELETE", "/v1/keys/x"), ("POST", "/v1/keys")]:
        sent = {"json": {"name": "a"}} if method == "POST" else {}
        status, code, _, message = refusal(door.send(method, path, key=worker, **sent))
        assert (status, code) == (403, "insufficient_scope")
        assert "admin" in message
    assert door.submit(key=worker).status_code == 202
    admin = door.key(Scope.ADMIN)
    assert door.submit(key=admin).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/jobs", Scope.JOBS),
        ("GET", "/v1/usage", Scope.JOBS),
        ("GET", "/v1/models", Scope.MODELS_READ),
        ("GET", "/v1/models/echo", Scope.MODELS_READ),
        ("POST", "/v1/models/echo/resume", Scope.MODELS_WRITE),
        ("GET", "/v1/keys", Scope.ADMIN),
        ("GET", "/v1/audit", Scope.ADMIN),
    ],
)
def test_a_route_opens_with_its_own_scope(
    method: str, path: str, scope: Scope, door: FrontDoor
) -> None:
    for other in Scope:
        answer = door.send(method, path, key=door.key(other))
        opens = other is scope or (other is Scope.ADMIN and scope is not Scope.MODELS_WRITE)
        assert answer.status_code == (200 if opens else 403), (other, answer.text)


def test_an_admin_of_a_tenant_cannot_give_rights_over_models(
    door: FrontDoor,
) -> None:
    admin, writer = door.key(Scope.ADMIN), door.key(Scope.JOBS, Scope.MODELS_WRITE, Scope.ADMIN)
    wanted = {"name": "new", "scopes": ["models:write"]}
    status, code, param, _ = refusal(door.send("POST", "/v1/keys", key=admin, json=wanted))
    assert (status, code, param) == (403, "insufficient_scope", "scopes")
    assert door.send("POST", "/v1/keys", key=writer, json=wanted).status_code == 201
    every = {"name": "new", "scopes": ["jobs", "batches", "models:read", "admin"]}
    assert door.send("POST", "/v1/keys", key=admin, json=every).status_code == 201


def test_the_last_use_of_a_key_is_noted_without_the_request(door: FrontDoor) -> None:
    key = door.key(Scope.JOBS)
    id = max(read(door.get("/v1/keys"), KeyList).data, key=lambda shown: shown.id).id

    def last_used() -> str | None:
        listed = read(door.get("/v1/keys"), KeyList).data
        return next(shown.last_used_at for shown in listed if shown.id == id)

    door.services.key_uses.write()
    assert last_used() is None
    door.get("/v1/jobs", key=key)
    assert last_used() is None
    assert door.services.key_uses.write() >= 1
    noted = last_used()
    assert noted is not None
    door.get("/v1/jobs", key=key)
    assert door.services.key_uses.write() == 0  # once a minute is enough
    assert last_used() == noted


def test_an_unknown_key_to_revoke_is_404(door: FrontDoor) -> None:
    for id in ("x", "018f0000-0000-7000-8000-000000000000", "k" * 300):
        status, code, *_ = refusal(door.send("DELETE", f"/v1/keys/{id}"))
        assert (status, code) == (404, "key_not_found")


def test_the_jobs_of_another_tenant_do_not_exist(door: FrontDoor) -> None:
    job = door.accepted()
    stranger = door.key(tenant="stranger")
    for method, path in [("GET", ""), ("GET", "?wait=1"), ("POST", "/cancel")]:
        theirs = refusal(door.send(method, f"/v1/jobs/{job.id}{path}", key=stranger))
        assert theirs[:2] == (404, "job_not_found")
        missing = job.id[:-4] + "0000"
        nobodys = refusal(door.send(method, f"/v1/jobs/{missing}{path}", key=stranger))
        assert theirs == (*nobodys[:3], nobodys[3].replace(missing, job.id))
    assert read(door.get("/v1/jobs", key=stranger), JobList).data == []
    assert read(door.get(f"/v1/jobs/{job.id}"), JobAnswer).status == "queued"
    listed = read(door.get("/v1/keys", key=stranger), KeyList).data
    assert len(listed) == 1
    [key] = read(door.get("/v1/keys"), KeyList).data[:1]
    assert refusal(door.send("DELETE", f"/v1/keys/{key.id}", key=stranger))[0] == 404


def test_a_foreign_cancel_leaves_no_trace(door: FrontDoor) -> None:
    job = door.accepted()
    door.send("POST", f"/v1/jobs/{job.id}/cancel", key=door.key(tenant="passer-by"))
    assert history(door.engine, UUID(job.id)) == ["queued"]
