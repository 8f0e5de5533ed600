"""Erased content is in no table; the ledger, its events and its usage stay."""

import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from api import operator_commands
from api import tenants as tenant_commands
from api.openai.file_answers import FileObject
from api.operator_policies import kept
from api.schemas import AttemptList, JobDeleted, JobList
from bells import token_stream
from dispatcher import upkeep
from dispatcher.chores import MORE
from files_store import expiry
from jobs import erasure, retention, tenants
from jobs.retention import Retention
from tests.conditions import eventually
from tests.integration.front_door import GOOD, FrontDoor, read, refusal
from tests.integration.job_samples import (
    a_worker,
    at_once,
    empty,
    failure,
    history,
    release_all,
    row,
    rows,
    success,
    value,
)

CANARY = "canary-7f3a9c"


def submitted(door: FrontDoor, **more: Any) -> str:
    body = GOOD | {"input": {"prompt": CANARY}, "metadata": {"note": CANARY}}
    response = door.submit(body | more.pop("changes", {}), **more)
    assert response.status_code == 202, response.text
    return str(response.get_json()["id"])


def finished(door: FrontDoor, *, fails: bool = False, **more: Any) -> str:
    id = submitted(door, **more)
    release_all(door.manager)
    worker_id = a_worker(door.engine)
    [job] = door.manager.claim(worker_id, "echo", 1, 1_000)
    assert str(job.id) == id
    outcome = failure(job) if fails else success(job, CANARY)
    if fails:
        object.__setattr__(outcome, "error_message", CANARY)
    assert door.manager.finish(worker_id, [outcome])
    return id


def tables_with(door: FrontDoor, words: str) -> set[str]:
    """The tables in which a text stands anywhere."""
    tables = rows(door.engine, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        table.tablename
        for table in tables
        if value(
            door.engine,
            f"SELECT count(*) FROM {table.tablename} t WHERE t::text LIKE '%' || :words || '%'",
            words=words,
        )
    }


def delete(door: FrontDoor, id: str, **more: Any) -> Any:
    return door.send("DELETE", f"/v1/jobs/{id}", **more)


def test_what_was_erased_is_in_no_table_and_the_ledger_stays(door: FrontDoor) -> None:
    empty(door.engine)
    ids = [finished(door), finished(door, fails=True)]
    assert tables_with(door, CANARY) == {"job_inputs", "job_results"}
    before = [row(door.engine, UUID(id)) for id in ids]
    for id in ids:
        assert read(delete(door, id), JobDeleted).id == id
    assert tables_with(door, CANARY) == set()
    for id, then in zip(ids, before, strict=True):
        now = row(door.engine, UUID(id))
        assert now.erased_at is not None
        assert now._replace(erased_at=None) == then
        assert history(door.engine, UUID(id))[-1] == "erased"
        told = read(door.get(f"/v1/jobs/{id}/attempts"), AttemptList).data
        assert [attempt.outcome for attempt in told] == [then.state]
        assert door.get(f"/v1/jobs/{id}/explain").status_code == 200  # as docs/files.md says


def test_gone_is_not_the_same_as_never_there(door: FrontDoor) -> None:
    id = finished(door)
    assert delete(door, id).status_code == 200
    for method, path in (
        ("GET", ""), ("GET", "?wait=1"), ("DELETE", ""), ("GET", "/events"), ("POST", "/replay"),
        ("POST", "/cancel"),
    ):  # fmt: skip
        response = door.send(method, f"/v1/jobs/{id}{path}")
        assert refusal(response)[:2] == (410, "job_erased"), path
        said = response.get_json()["error"]
        assert (said["job_id"], said["status"]) == (id, "succeeded")
        assert said["erased_at"].endswith("Z")
    assert refusal(delete(door, str(UUID(int=7))))[:2] == (404, "job_not_found")
    assert refusal(delete(door, "nonsense"))[:2] == (404, "job_not_found")


def test_a_job_that_has_not_ended_is_not_erased(door: FrontDoor) -> None:
    waiting = submitted(door)
    status, code, _, message = refusal(delete(door, waiting))
    assert (status, code) == (409, "job_not_ended")
    assert f"/v1/jobs/{waiting}/cancel" in message
    release_all(door.manager)
    door.manager.claim(a_worker(door.engine), "echo", 1, 1_000)
    assert refusal(delete(door, waiting))[:2] == (409, "job_not_ended")
    assert not door.manager.erase(door.tenant_id, UUID(waiting))
    with pytest.raises(IntegrityError, match="erased_has_ended"):
        door_sql(door, "UPDATE jobs SET erased_at = now() WHERE id = :id", id=waiting)


def door_sql(door: FrontDoor, sql: str, **values: object) -> None:
    with door.engine.begin() as connection:
        connection.execute(text(sql), values)


def test_somebody_elses_job_is_not_erased(door: FrontDoor) -> None:
    id, other = finished(door), door.key(tenant="other")
    assert refusal(delete(door, id, key=other))[:2] == (404, "job_not_found")
    assert not door.manager.erase(tenants.ensure(door.engine, "other"), UUID(id))
    assert door.get(f"/v1/jobs/{id}").get_json()["result"]["text"] == CANARY


def test_lists_show_erased_jobs_without_content(door: FrontDoor) -> None:
    key = door.key(tenant="lists")
    id = finished(door, key=key)
    assert delete(door, id, key=key).status_code == 200
    [job] = read(door.get("/v1/jobs", key=key), JobList).data
    assert (job.id, job.status, job.metadata, job.result) == (id, "succeeded", {}, None)
    assert job.erased_at is not None
    body = {"status": "succeeded", "dry_run": True}
    assert door.send("POST", "/v1/jobs/replay", json=body, key=key).get_json()["data"] == []


def test_an_idempotency_key_still_knows_its_erased_job(door: FrontDoor) -> None:
    header = {"Idempotency-Key": "once"}
    id = finished(door, headers=header)
    assert delete(door, id).status_code == 200
    body = GOOD | {"input": {"prompt": CANARY}, "metadata": {"note": CANARY}}
    assert refusal(door.submit(body, headers=header))[:2] == (410, "job_erased")


def test_the_rest_of_a_token_stream_goes_too(door: FrontDoor, redis_url: str) -> None:
    id = finished(door)
    with Redis.from_url(redis_url) as redis:
        redis.xadd(token_stream.key(UUID(id)), {"t": CANARY})
        assert delete(door, id).status_code == 200
        eventually(lambda: not redis.exists(token_stream.key(UUID(id))))


def test_two_who_erase_at_once_erase_once(door: FrontDoor) -> None:
    id = UUID(finished(door))
    done = at_once(*[lambda: door.manager.erase(door.tenant_id, id)] * 4)
    assert sorted(done) == [False, False, False, True]
    assert history(door.engine, id).count("erased") == 1


def test_a_response_is_deleted_like_a_job(door: FrontDoor) -> None:
    asked = {"model": "echo", "input": CANARY, "background": True}
    made = door.send("POST", "/v1/responses", json=asked).get_json()["id"]
    assert refusal(door.send("DELETE", f"/v1/responses/{made}"))[:2] == (409, "job_not_ended")
    door.send("POST", f"/v1/responses/{made}/cancel")
    gone = door.send("DELETE", f"/v1/responses/{made}")
    assert gone.get_json() == {"id": made, "object": "response", "deleted": True}
    for method in ("GET", "DELETE"):
        assert refusal(door.send(method, f"/v1/responses/{made}"))[:2] == (410, "job_erased")
    native = finished(door).replace("-", "")
    assert refusal(door.send("DELETE", f"/v1/responses/resp_{native}"))[0] == 404


def aged(door: FrontDoor, id: str, days: int) -> None:
    """As if the job had ended so long ago: around the guard, which forbids that."""
    with door.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text("UPDATE jobs SET finished_at = finished_at - make_interval(days => :days)"
                 " WHERE id = :id"),
            {"id": id, "days": days},
        )  # fmt: skip


def bring(door: FrontDoor, key: str) -> str:
    form = {"purpose": "batch", "file": (io.BytesIO(b"x"), f"{CANARY}.jsonl")}
    response = door.send("POST", "/v1/files", data=form, key=key,
                         content_type="multipart/form-data")  # fmt: skip
    return read(response, FileObject).id


def test_a_tenants_policy_erases_what_is_older_and_nothing_else(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_MOST_DUE", 2)
    monkeypatch.setattr(expiry, "_MOST", 2)
    brief, patient = door.key(tenant="brief"), door.key(tenant="patient")
    old = [finished(door, key=brief) for _ in range(3)]
    young, others = finished(door, key=brief), finished(door, key=patient)
    files = [bring(door, brief) for _ in range(3)]
    young_file, others_file = bring(door, brief), bring(door, patient)
    for id in (*old, others):
        aged(door, id, days=31)
    for file in (*files, others_file):
        door_sql(door, "UPDATE files SET created_at = created_at - interval '31 days'"
                 " WHERE id = :id", id=file.removeprefix("file-"))  # fmt: skip

    contents = door.services.contents
    assert upkeep.erase_results(door.manager) is None  # nobody has a policy yet
    assert upkeep.keep_files(door.engine, contents) is None
    month = int(timedelta(days=30).total_seconds())
    assert retention.set_retention(door.engine, "brief", Retention(month, month))
    assert [upkeep.erase_results(door.manager) for _ in range(2)] == [MORE, None]
    assert [upkeep.keep_files(door.engine, contents) for _ in range(2)] == [MORE, None]

    def statuses(paths: list[str], key: str) -> list[int]:
        return [door.get(path, key=key).status_code for path in paths]

    assert statuses([f"/v1/jobs/{id}" for id in (*old, young)], brief) == [410, 410, 410, 200]
    assert statuses([f"/v1/files/{id}" for id in (*files, young_file)], brief) == [410] * 3 + [200]
    assert statuses([f"/v1/jobs/{others}", f"/v1/files/{others_file}"], patient) == [200, 200]
    erased = rows(door.engine, "SELECT filename, sha256 FROM files WHERE erased_at IS NOT NULL")
    assert {(file.filename, file.sha256) for file in erased} == {("", None)}
    reasons = rows(door.engine, "SELECT job_id, reason FROM job_events WHERE kind = 'erased'"
                   " AND job_id = ANY(CAST(:ids AS uuid[]))", ids=old)  # fmt: skip
    assert [event.reason for event in reasons] == ["retention"] * 3


def test_the_policy_is_set_in_words(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_commands, "load", lambda: door.services.settings)

    def retain(*words: str) -> str:
        done = CliRunner().invoke(tenant_commands.main, ["retain", *words])
        return done.output + str(done.exception or "")

    door.key(tenant="wordy")
    said = retain("wordy", "--results", "30d")
    assert said == "wordy keeps results for 30d, files until they are deleted\n"
    assert retention.of_tenant(door.engine, "wordy") == Retention(30 * 86_400, None)
    assert "results until" in retain("wordy", "--results", "keep", "--files", "12h")
    assert retention.of_tenant(door.engine, "wordy") == Retention(None, 12 * 3_600)
    assert "is no time such as 30d" in retain("wordy", "--files", "1w")
    assert "no tenant 'nobody'" in retain("nobody")


@pytest.mark.parametrize(
    "words", ["", "30", "d", "0d", "-1d", "1.5h", "30 d", "1w", "9" * 30 + "d"]
)
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(Exception, match="is no time"):
        kept(words)
