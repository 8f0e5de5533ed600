"""Every route, with the id of another tenant's object: 404, exactly as for an id of nobody.

The routes are those of the OpenAPI document. A route with a parameter that nothing here
can make an object for fails the test: it cannot be forgotten.
"""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.schemas import KeyAnswer
from jobs.ids import new_id
from tests.integration.front_door import FrontDoor, front_door, read
from tests.integration.job_samples import rows


@pytest.fixture(scope="module")
def door(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontDoor]:
    folder = tmp_path_factory.mktemp("others")
    with front_door(folder, database_url=module_database_url, redis_url=redis_url) as opened:
        yield opened


def a_job(door: FrontDoor) -> str:
    return door.accepted().id


def a_key(door: FrontDoor) -> str:
    return read(door.send("POST", "/v1/keys", json={"name": "mine"}), KeyAnswer).id


def a_response(door: FrontDoor) -> str:
    sent = {"model": "echo", "input": "hello", "background": True}
    made: str = door.send("POST", "/v1/responses", json=sent).get_json()["id"]
    return made


def a_file(door: FrontDoor) -> str:
    sent = {"purpose": "batch", "file": (io.BytesIO(b"{}\n"), "a.jsonl")}
    made: str = door.send("POST", "/v1/files", data=sent).get_json()["id"]
    return made


def an_upload(door: FrontDoor) -> str:
    sent = {"purpose": "batch", "filename": "a.jsonl", "bytes": 3, "mime_type": "text/plain"}
    made: str = door.send("POST", "/v1/uploads", json=sent).get_json()["id"]
    return made


# By the parameter in the path: an object of the first tenant, and an id of nobody.
MAKERS: dict[str, tuple[Callable[[FrontDoor], str], Callable[[], str]]] = {
    "job_id": (a_job, lambda: str(new_id())),
    "key_id": (a_key, lambda: str(new_id())),
    "response_id": (a_response, lambda: f"resp_{new_id().hex}"),
    "file_id": (a_file, lambda: f"file-{new_id().hex}"),
    "upload_id": (an_upload, lambda: f"upload_{new_id().hex}"),
}
# What belongs to the installation and is shown to every key that may read it.
SHARED = {"reference"}
# What a route wants beside the id, if it looks at that first.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/uploads/{upload_id}/complete"): {"json": {"part_ids": [f"part_{'0' * 32}"]}},
}


def routes_with_ids(door: FrontDoor) -> list[tuple[str, str, str]]:
    """Method, path and the first parameter of each route that has one."""
    found = []
    for path, methods in door.app.api_doc["paths"].items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if names and names[0] not in SHARED:
            found += [(method.upper(), path, names[0]) for method in methods]
    return found


def test_there_is_an_object_of_each_kind_to_ask_for(door: FrontDoor) -> None:
    kinds = {name for *_, name in routes_with_ids(door)}
    assert kinds >= {"job_id", "key_id", "response_id"}
    unknown = kinds - set(MAKERS)
    assert not unknown, f"add makers to {__file__} for {sorted(unknown)}"


def test_no_route_tells_another_tenants_object_from_one_that_is_not_there(door: FrontDoor) -> None:
    stranger = door.key(tenant="stranger")
    for method, path, name in routes_with_ids(door):
        make, nobodys_id = MAKERS[name]
        theirs, nobodys = make(door), nobodys_id()

        def ask(id: str, method: str = method, path: str = path, name: str = name) -> TestResponse:
            filled = path.replace("{" + name + "}", id)
            return door.send(method, filled, key=stranger, **BODIES.get((method, path), {}))

        found, missing = ask(theirs), ask(nobodys)
        assert missing.status_code == 404, f"{method} {path}: give it a body in BODIES"
        assert found.status_code == 404, f"{method} {path} shows another tenant's {name}"
        assert found.text.replace(theirs, nobodys) == missing.text, f"{method} {path}"
        assert headers(found) == headers(missing), f"{method} {path}"


def headers(response: TestResponse) -> dict[str, str]:
    return {name: text for name, text in response.headers if name != "x-request-id"}


def test_asking_left_no_trace_in_what_was_asked_for(door: FrontDoor) -> None:
    events = rows(door.engine, "SELECT DISTINCT kind FROM job_events")
    assert [row.kind for row in events] == ["queued"]
    assert rows(door.engine, "SELECT FROM api_keys WHERE revoked_at IS NOT NULL") == []


def test_lists_hold_nothing_of_another_tenant(door: FrontDoor) -> None:
    made = {name: make(door) for name, (make, _) in MAKERS.items()}
    lister = door.key(tenant="lister")
    for path, methods in door.app.api_doc["paths"].items():
        if "get" in methods and "{" not in path and path.startswith("/v1/"):
            answer = door.get(path, key=lister)
            assert answer.status_code == 200, f"GET {path}"
            for name, id in made.items():
                assert id not in answer.text, f"GET {path} lists another tenant's {name}"
