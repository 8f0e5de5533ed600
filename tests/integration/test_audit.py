"""The audit log: in the transaction of the change, for good, without secrets."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from api.routes.tenant_routes import AuditList
from api.schemas import KeyAnswer
from jobs import audit, keys, retention, tenants
from jobs.audit import Change, Page
from jobs.database import transact
from jobs.keys import Scope
from jobs.quotas import limits
from jobs.retention import Retention
from models_store import aliases
from tests.integration.front_door import FrontDoor, read, refusal
from tests.integration.job_samples import claimed, rows, success, value


def last(door: FrontDoor) -> audit.Entry:
    return audit.of_all(door.engine, Page(1))[0]


def test_what_a_key_changes_names_the_key_and_the_address(door: FrontDoor) -> None:
    made = read(door.send("POST", "/v1/keys", json={"name": "mine"}), KeyAnswer)
    entry = last(door)
    assert (entry.actor, entry.action, entry.target_id) == ("key", "key.create", made.id)
    assert (entry.tenant_id, entry.address) == (door.tenant_id, "127.0.0.1")
    assert entry.details == {"name": "mine", "scopes": "jobs models:read", "expires_at": None}
    own = keys.authenticate(door.engine, door.secret)
    assert own is not None and entry.key_id == own.key_id
    assert made.key is not None
    assert made.key not in json.dumps(rows(door.engine, "SELECT audit_log::text FROM audit_log"),
                                      default=str)  # fmt: skip


def finished(door: FrontDoor) -> UUID:
    worker_id, [job] = claimed(door.manager, door.engine, door.tenant_id)
    door.manager.finish(worker_id, [success(job)])
    return job.id


def a_webhook(door: FrontDoor) -> str:
    sent = {"url": "https://8.8.8.8/canary?token=canary"}
    id: str = door.send("POST", "/v1/webhooks", json=sent).get_json()["id"]
    return id


def over_http(method: str, path: str, **more: Any) -> Callable[[FrontDoor], object]:
    return lambda door: door.send(method, path, **more)


@pytest.mark.parametrize(
    ("action", "change"),
    [
        ("key.create", lambda door: door.key(Scope.JOBS)),
        ("key.revoke", lambda door: door.send("DELETE", "/v1/keys/" + read(
            door.send("POST", "/v1/keys", json={"name": "x"}), KeyAnswer).id)),
        ("tenant.add", lambda door: tenants.ensure(door.engine, "new")),
        ("tenant.weight", lambda door: tenants.set_weight(door.engine, "default", 2)),
        ("tenant.limits", lambda door: limits.change(
            door.engine, "default", {"queued_jobs": None})),
        ("tenant.retention", lambda door: retention.set_retention(
            door.engine, "default", Retention(3_600, None))),
        ("webhook.create", a_webhook),
        ("webhook.rotate", lambda door: door.send(
            "POST", f"/v1/webhooks/{a_webhook(door)}/rotate")),
        ("webhook.enable", lambda door: door.send(
            "POST", f"/v1/webhooks/{a_webhook(door)}/enable")),
        ("webhook.delete", lambda door: door.send("DELETE", f"/v1/webhooks/{a_webhook(door)}")),
        ("webhook.rotate_signing", over_http("POST", "/v1/webhooks/signing-secret/rotate")),
        ("model.pause", over_http("POST", "/v1/models/echo/pause", data='{"reason": "canary"}')),
        ("model.resume", over_http("POST", "/v1/models/echo/resume")),
        ("alias.move", lambda door: transact(
            door.engine, lambda c: aliases.move(c, "parrot", "echo@1"))),
        ("job.replay", lambda door: door.send("POST", f"/v1/jobs/{finished(door)}/replay")),
        ("job.replay", lambda door: [finished(door), door.send(
            "POST", "/v1/jobs/replay", json={"status": "succeeded", "limit": 1})]),
    ],
)  # fmt: skip
def test_every_change_is_an_entry(
    action: str, change: Callable[[FrontDoor], object], door: FrontDoor
) -> None:
    before = value(door.engine, "SELECT count(*) FROM audit_log WHERE action = :a", a=action)
    change(door)
    after = value(door.engine, "SELECT count(*) FROM audit_log WHERE action = :a", a=action)
    assert after == before + 1
    assert last(door).action == action
    assert "canary" not in str(last(door).details)


def test_an_import_is_an_entry_of_an_operator(door: FrontDoor) -> None:
    [entry] = audit.of_all(door.engine, Page(10, action="model.import"))
    assert (entry.actor, entry.target_id, entry.tenant_id) == ("operator", "echo@1", None)
    assert "@" in entry.address


def test_what_changes_nothing_is_no_entry(door: FrontDoor) -> None:
    tenants.ensure(door.engine, "default")
    door.send("POST", "/v1/models/echo/resume")
    made = read(door.send("POST", "/v1/keys", json={"name": "x"}), KeyAnswer)
    door.send("DELETE", f"/v1/keys/{made.id}")
    before = value(door.engine, "SELECT count(*) FROM audit_log")
    tenants.ensure(door.engine, "default")
    door.send("POST", "/v1/models/echo/resume")
    door.send("DELETE", f"/v1/keys/{made.id}")
    door.send("DELETE", f"/v1/keys/{made.id}", key=door.key(tenant="stranger"))
    assert value(door.engine, "SELECT count(*) FROM audit_log") == before + 2  # the stranger's own


def test_a_change_that_fails_leaves_no_entry_and_an_entry_that_fails_no_change(
    door: FrontDoor,
) -> None:
    before = value(door.engine, "SELECT count(*) FROM audit_log")
    change = Change("tenant.weight", door.tenant_id)
    with door.engine.connect() as connection:
        audit.record(connection, None, change)
        connection.rollback()
    assert value(door.engine, "SELECT count(*) FROM audit_log") == before


def test_a_transaction_that_ran_twice_is_one_entry(engine: Engine) -> None:
    change = Change("tenant.weight", "x")
    for _ in range(2):
        transact(engine, lambda connection: audit.record(connection, None, change))
    assert value(engine, "SELECT count(*) FROM audit_log") == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
def test_postgres_refuses_to_change_the_log(statement: str, engine: Engine) -> None:
    transact(engine, lambda c: audit.record(c, None, Change("tenant.weight", "x")))
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert value(engine, "SELECT count(*) FROM audit_log") == 1


def test_details_are_bounded(engine: Engine) -> None:
    details = {f"d{n}": "x" * 1_000 for n in range(100)}
    transact(engine, lambda c: audit.record(c, None, Change("tenant.weight", "y" * 999, details)))
    [entry] = audit.of_all(engine, Page(1))
    assert len(entry.details) == 16
    assert {len(text) for text in (*entry.details.values(), entry.target_id)} == {200}


def test_a_tenant_reads_its_own_log_page_by_page(door: FrontDoor) -> None:
    mine = door.key(tenant="reader")
    for number in range(4):
        door.send("POST", "/v1/keys", key=mine, json={"name": f"k{number}"})
    seen, cursor = [], ""
    while True:
        page = read(door.get(f"/v1/audit?limit=2{cursor}", key=mine), AuditList)
        seen += page.data
        if page.next_cursor is None:
            break
        cursor = f"&cursor={page.next_cursor}"
    names = [entry.details["name"] for entry in seen]
    assert names == ["k3", "k2", "k1", "k0", "test", "reader"]
    assert {entry.target["kind"] for entry in seen} == {"key", "tenant"}
    [added] = read(door.get("/v1/audit?action=tenant.add", key=mine), AuditList).data
    assert added.actor == "operator"


def test_the_log_is_for_admins_and_cursors_are_checked(door: FrontDoor) -> None:
    assert refusal(door.get("/v1/audit", key=door.key(Scope.JOBS)))[:2] == (
        403, "insufficient_scope",
    )  # fmt: skip
    assert refusal(door.get("/v1/audit?cursor=x"))[0] == 400
