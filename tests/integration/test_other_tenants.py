"""Every route, with the id of another tenant's object: 404, exactly as for an id of nobody.

The routes are those of the OpenAPI document. A route with a parameter that nothing here
can make an object for fails the test: it cannot be forgotten.
"""

import io
from collections.abc import Callable
from typing import Any

from werkzeug.test import TestResponse

from jobs.ids import new_id
from tests.integration.front_door import GOOD, FrontDoor
from tests.integration.job_samples import rows


def made(door: FrontDoor, key: str, path: str, **more: Any) -> str:
    answer = door.send("POST", path, key=key, **more)
    assert answer.status_code in (200, 201, 202), f"POST {path}: {answer.text}"
    id: str = answer.get_json()["id"]
    return id


def a_job(door: FrontDoor, key: str) -> str:
    return made(door, key, "/v1/jobs", json=GOOD)


def a_key(door: FrontDoor, key: str) -> str:
    return made(door, key, "/v1/keys", json={"name": "mine"})


def a_response(door: FrontDoor, key: str) -> str:
    sent = {"model": "echo", "input": "hello", "background": True}
    return made(door, key, "/v1/responses", json=sent)


def a_file(door: FrontDoor, key: str) -> str:
    sent = {"purpose": "batch", "file": (io.BytesIO(b"{}\n"), "a.jsonl")}
    return made(door, key, "/v1/files", data=sent)


def an_upload(door: FrontDoor, key: str) -> str:
    sent = {"purpose": "batch", "filename": "a.jsonl", "bytes": 3, "mime_type": "text/plain"}
    return made(door, key, "/v1/uploads", json=sent)


def a_batch(door: FrontDoor, key: str) -> str:
    sent = {"input_file_id": a_file(door, key), "endpoint": "/v1/completions",
            "completion_window": "24h"}  # fmt: skip
    return made(door, key, "/v1/batches", json=sent)


def a_webhook(door: FrontDoor, key: str) -> str:
    return made(door, key, "/v1/webhooks", json={"url": "https://8.8.8.8/never-called"})


def a_delivery(door: FrontDoor, key: str) -> str:
    return made(door, key, f"/v1/webhooks/{a_webhook(door, key)}/test")


def prefixed(prefix: str) -> Callable[[], str]:
    return lambda: prefix + new_id().hex


def plain() -> str:
    return str(new_id())


# By the parameter in a path: makes an object of whose key it is; and an id of nobody.
MAKERS: dict[str, tuple[Callable[[FrontDoor, str], str], Callable[[], str]]] = {
    "job_id": (a_job, plain),
    "key_id": (a_key, plain),
    "response_id": (a_response, prefixed("resp_")),
    "file_id": (a_file, prefixed("file-")),
    "upload_id": (an_upload, prefixed("upload_")),
    "batch_id": (a_batch, prefixed("batch_")),
    "webhook_id": (a_webhook, plain),
    "delivery_id": (a_delivery, plain),
}
# What belongs to the installation and is shown to every key that may read it.
SHARED = {"reference"}
# What is no id by itself, but names a part of the object before it.
PARTS = {"line": "1"}
# What a route wants beside the id, if it looks at that first.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/uploads/{upload_id}/complete"): {"json": {"part_ids": [f"part_{'0' * 32}"]}},
    ("POST", "/v1/batches/{batch_id}"): {"json": {"priority": "batch"}},
    ("POST", "/v1/batches/{batch_id}/retry"): {"json": {}},
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/replay"): {
        "json": {"since": "2026-01-01T00:00:00Z"}
    },
}
# What a list must be asked with.
QUERIES = {"/v1/webhooks/deliveries": "?subject=nobody"}


def names_in(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def routes_with_ids(door: FrontDoor) -> list[tuple[str, str, str]]:
    """Method, path, and each parameter of it that is the id of something."""
    return [
        (method.upper(), path, name)
        for path, methods in door.app.api_doc["paths"].items()
        for name in names_in(path)
        if name not in SHARED and name not in PARTS
        for method in methods
    ]


def test_there_is_an_object_of_each_kind_to_ask_for(door: FrontDoor) -> None:
    kinds = {name for *_, name in routes_with_ids(door)}
    assert kinds >= {"job_id", "key_id", "response_id"}
    unknown = kinds - set(MAKERS)
    assert not unknown, f"add makers to {__file__} for {sorted(unknown)}"


def test_no_route_tells_another_tenants_object_from_one_that_is_not_there(door: FrontDoor) -> None:
    stranger = door.key(tenant="stranger")
    for method, path, name in routes_with_ids(door):
        make, nobodys_id = MAKERS[name]
        theirs, nobodys = make(door, door.secret), nobodys_id()
        # Whatever else the path names is the stranger's own.
        own = dict(PARTS)
        for other in names_in(path):
            if other != name and other not in PARTS:
                own[other] = MAKERS[other][0](door, stranger)

        sent = {"key": stranger, **BODIES.get((method, path), {})}
        found, missing = (
            door.send(method, path.format_map(own | {name: id}), **sent) for id in (theirs, nobodys)
        )
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
    kinds = {name for *_, name in routes_with_ids(door)}
    theirs = {name: MAKERS[name][0](door, door.secret) for name in kinds}
    lister = door.key(tenant="lister")
    for path, methods in door.app.api_doc["paths"].items():
        if "get" in methods and "{" not in path and path.startswith("/v1/"):
            answer = door.get(path + QUERIES.get(path, ""), key=lister)
            assert answer.status_code == 200, f"GET {path}: give it a query in QUERIES"
            for name, id in theirs.items():
                assert id not in answer.text, f"GET {path} lists another tenant's {name}"
