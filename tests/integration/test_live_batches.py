"""Batches that are steered and watched: pieces, races and readers, without processes."""

import json
import threading
from collections.abc import Iterator
from itertools import count
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api.batch_hub import BatchHub
from dispatcher.batch_dry_runs import BatchDryRuns
from dispatcher.batch_retries import BatchRetries
from dispatcher.chores import MORE
from dispatcher.reaper import reap
from jobs.batches import appending, endings, line_moves
from jobs.batches.endings import Ending, Place
from jobs.batches.envelopes import TakenLine
from jobs.batches.equals import digest_of
from jobs.batches.names import batch_id
from jobs.quotas import limits
from jobs.states import CLASS_WEIGHT, Priority
from tests.conditions import eventually
from tests.integration.batch_bench import BatchBench, StopAfter, chat_line
from tests.integration.front_door import FrontDoor, refusal
from tests.integration.job_samples import (
    a_job,
    failure,
    release_all,
    rows,
    value,
    worker_died,
)


@pytest.fixture(scope="module")
def bench(door: FrontDoor) -> BatchBench:
    return BatchBench.over(door)


@pytest.fixture(autouse=True)
def _nothing_left(door: FrontDoor) -> Iterator[None]:
    """What a test leaves waiting is no other test's."""
    yield
    with door.engine.begin() as connection:
        connection.execute(text("UPDATE batches SET paused = false, unsettled = false"))
        connection.execute(text(
            "UPDATE jobs SET state = 'cancelled', finished_at = now() "
            "WHERE state IN ('queued', 'running')"
        ))  # fmt: skip


def made(bench: BatchBench, count: int, **more: Any) -> str:
    """A batch of that many lines, taken in."""
    name = bench.create(bench.file(chat_line(f"c{n}", f"t{n}") for n in range(count)), **more)
    bench.take_in()
    return name


def told(bench: BatchBench, name: str, place: Place | None = None) -> list[Ending]:
    reader = (batch_id(name), place or Place())
    return list(endings.read(bench.engine, [reader], ()).get(reader, ()))


def settled(bench: BatchBench) -> int:
    """Brings all lines in line; how many pieces that took."""
    return next(n for n in count() if not bench.door.manager.settle_lines())


def test_a_line_that_is_committed_late_is_not_passed_over(bench: BatchBench) -> None:
    name = made(bench, 3)
    running = bench.claim(3)
    first, *others = running.jobs
    with bench.engine.connect() as late:
        late.execute(
            text("UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = :id"),
            {"id": first.id},
        )
        bench.end(type(running)(running.worker_id, others))
        assert told(bench, name) == []  # the two would stand before a line yet to come
        late.commit()
    ended = eventually(lambda: found if len(found := told(bench, name)) == 3 else None)
    by_id = {f"c{n}": job.id for n, job in enumerate(running.jobs)}
    assert ended[0].custom_id is not None and by_id[ended[0].custom_id] == first.id
    assert told(bench, name, ended[0].place) == ended[1:]
    assert [ending.state for ending in ended] == ["succeeded"] * 3


def test_a_line_that_joins_a_run_at_its_very_end_is_told_of(bench: BatchBench) -> None:
    line = chat_line("one", "equal", temperature=0)
    name = bench.create(bench.file([line]), open=True, dedupe=True)
    bench.take_in()
    running = bench.claim(1)
    joins = TakenLine(1, "two", same_as=1, same_job=running.jobs[0].id)
    finishing = threading.Thread(target=bench.end, args=(running,))
    with bench.engine.begin() as late:
        appending.append(late, bench.door.tenant_id, batch_id(name), [joins], [line.encode()])
        finishing.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually(lambda: value(bench.engine, waits))
    finishing.join(10)
    assert sorted(e.custom_id or "" for e in eventually(lambda: told(bench, name))) == [
        "one",
        "two",
    ]


def test_lines_are_held_and_freed_in_pieces_and_nothing_of_them_is_released(
    bench: BatchBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_moves, "_MOST", 5)
    name = made(bench, 12)
    assert bench.door.send("POST", f"/v1/batches/{name}/pause").status_code == 200
    assert settled(bench) >= 2  # the first piece was the request's
    assert release_all(bench.door.manager) == []
    assert bench.door.send("POST", f"/v1/batches/{name}/resume").status_code == 200
    settled(bench)
    assert len(release_all(bench.door.manager)) == 12
    bench.run()
    bench.finish()
    assert bench.view(name).status == "completed"


def test_what_was_let_through_and_not_begun_is_held_and_gives_its_charge_back(
    bench: BatchBench,
) -> None:
    name = made(bench, 6)
    running = bench.claim(2)
    assert len(release_all(bench.door.manager)) == 0  # all six were released, two run
    bench.door.manager.settle()
    given = "SELECT sum(virtual) FROM fair_shares WHERE priority = 'batch'"
    before = value(bench.engine, given)
    charged = "SELECT sum(charged) FROM jobs WHERE batch_id = :id AND state = 'queued'"
    back = value(bench.engine, charged, id=batch_id(name))
    bench.door.send("POST", f"/v1/batches/{name}/pause")
    settled(bench)
    assert bench.door.manager.claim(running.worker_id, "echo", 1, 10) == []
    assert release_all(bench.door.manager) == []
    bench.door.manager.settle()
    assert before - value(bench.engine, given) == back / CLASS_WEIGHT[Priority.BATCH] > 0
    bench.door.send("POST", f"/v1/batches/{name}/resume")
    settled(bench)
    bench.end(running)
    bench.run()
    bench.finish()
    assert bench.view(name).status == "completed"


def test_what_may_kill_its_worker_is_tried_though_its_batch_is_paused(bench: BatchBench) -> None:
    name = made(bench, 4)
    running = bench.claim(4)
    worker_died(bench.engine, running.worker_id)
    reap(bench.engine, bench.door.manager)
    bench.door.send("POST", f"/v1/batches/{name}/pause")
    settled(bench)
    held = "SELECT count(*) FROM jobs WHERE held AND batch_id = :id"
    assert value(bench.engine, held, id=batch_id(name)) == 0
    again = bench.claim(4)  # half of the suspects
    bench.end(again)
    bench.door.send("POST", f"/v1/batches/{name}/resume")
    settled(bench)
    bench.run()
    bench.finish()
    assert bench.view(name).status == "completed"


def test_lines_of_a_paused_batch_come_in_held(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("x")]))
    bench.door.send("POST", f"/v1/batches/{name}/pause")
    bench.take_in()
    assert bench.view(name).counts.queued == 1
    assert release_all(bench.door.manager) == []


def test_a_line_that_comes_back_after_an_error_is_held_too(bench: BatchBench) -> None:
    name = made(bench, 2)
    running = bench.claim(2)
    bench.door.send("POST", f"/v1/batches/{name}/pause")
    settled(bench)
    again = [failure(job, retryable=True) for job in running.jobs]
    bench.door.manager.finish(running.worker_id, again)
    bench.door.manager.find_strays()
    settled(bench)
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET run_at = now(), rank = now() "
                                "WHERE state = 'queued'"))  # fmt: skip
    assert release_all(bench.door.manager) == []


def test_in_another_class_a_line_comes_anew(bench: BatchBench) -> None:
    name = made(bench, 2)
    with bench.engine.begin() as connection:
        connection.execute(text("INSERT INTO model_clocks (model, version, floor) "
                                "VALUES ('echo', 1, 777) ON CONFLICT (model, version) "
                                "DO UPDATE SET floor = 777"))  # fmt: skip
    ask = {"priority": "interactive"}
    assert bench.door.send("POST", f"/v1/batches/{name}", json=ask).status_code == 200
    settled(bench)
    asked = "SELECT priority, floor, rank <= submitted_at + interval '1 second' AS soon FROM jobs"
    found = rows(bench.engine, f"{asked} WHERE batch_id = :id", id=batch_id(name))
    assert [tuple(row) for row in found] == [("interactive", 777.0, True)] * 2
    assert bench.answer(name)["priority"] == "interactive"


def test_a_wish_that_comes_while_lines_are_moved_is_not_lost(bench: BatchBench) -> None:
    name = made(bench, 3)
    for verb in ("pause", "resume", "pause"):
        bench.door.send("POST", f"/v1/batches/{name}/{verb}")
    settled(bench)
    held = "SELECT count(*) FROM jobs WHERE held AND batch_id = :id"
    assert value(bench.engine, held, id=batch_id(name)) == 3


def test_a_reader_that_does_not_read_holds_up_nobody_and_is_told_all_later(
    bench: BatchBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "MOST_TOLD", 3)
    monkeypatch.setattr("api.batch_hub.MOST_TOLD", 3)
    name = made(bench, 10)
    bench.run()
    hub, id, tenant_id = BatchHub(bench.engine), batch_id(name), bench.door.tenant_id
    hub.start()
    with hub.watch(tenant_id, id, Place()) as lazy, hub.watch(tenant_id, id, Place()) as eager:
        assert len(heard(hub, eager, 10)) == 10
        assert 0 < len(lazy.told) <= 3
        late = heard(hub, lazy, 10)
        assert sorted(ending.place.line for ending in late) == list(range(1, 11))
        bench.finish()
        assert eventually(lambda: hub.take(eager, 0.1)[2])
    hub.stop()


def heard(hub: BatchHub, watcher: Any, count: int) -> list[Ending]:
    found: list[Ending] = []

    def enough() -> bool:
        found.extend(hub.take(watcher, 0.5)[0])
        return len(found) >= count

    eventually(enough)
    return found


def test_the_file_of_retried_lines_is_made_once_whoever_is_stopped_on_the_way(
    bench: BatchBench,
) -> None:
    lines = [chat_line("good"), chat_line("bad", model="nobody"), "", chat_line("worse", n=77)]
    first = bench.create(bench.file(lines))
    bench.done(first)
    again = bench.door.send("POST", f"/v1/batches/{first}/retry", json={"body": {"n": 1}})
    name = again.get_json()["id"]
    chore = BatchRetries(bench.engine, bench.contents, bench.door.services.settings)
    chore.piece(StopAfter(1))
    assert bench.view(name).input_file_id is None
    while chore.piece(Event()) is MORE:
        pass
    file = bench.view(name).input_file_id
    assert file is not None
    content = bench.content(f"file-{file.hex}")
    assert [(line["custom_id"], line["body"]["n"]) for line in content] == [
        ("bad", 1),
        ("worse", 1),
    ]
    output, errors = bench.done(name)
    assert [line["custom_id"] for line in output] == ["worse"]
    assert [line["custom_id"] for line in errors] == ["bad"]


@pytest.mark.parametrize("stop", [StopAfter(3), Event()], ids=["counted alone", "taken in"])
def test_cancelled_lines_are_run_again_if_they_are_named(bench: BatchBench, stop: Event) -> None:
    first = bench.create(bench.file(chat_line(f"c{n}") for n in range(3)))
    bench.intake.piece(stop)
    assert bench.view(first).status == "in_progress"
    bench.door.send("POST", f"/v1/batches/{first}/cancel")
    bench.take_in()
    bench.finish()
    for body, said in (({}, '["batch_cancelled"]'), ({"codes": ["engine_failed"]}, "`codes`")):
        again = bench.door.send("POST", f"/v1/batches/{first}/retry", json=body)
        assert refusal(again)[0] == 409
        assert said in again.get_json()["error"]["message"]
    named = {"codes": ["batch_cancelled"]}
    name = bench.door.send("POST", f"/v1/batches/{first}/retry", json=named).get_json()["id"]
    chore = BatchRetries(bench.engine, bench.contents, bench.door.services.settings)
    while chore.piece(Event()) is MORE:
        pass
    output, _ = bench.done(name)
    assert [line["custom_id"] for line in output] == ["c0", "c1", "c2"]


def test_lines_without_an_id_of_their_own_are_no_reason_for_a_retry(bench: BatchBench) -> None:
    first = bench.create(bench.file([chat_line("same"), chat_line("same"), "{}"]))
    bench.done(first)
    again = bench.door.send("POST", f"/v1/batches/{first}/retry", json={})
    assert refusal(again)[0] == 409
    assert "`custom_id` of its own" in again.get_json()["error"]["message"]


def test_a_retry_whose_first_file_is_gone_fails_and_says_so(bench: BatchBench) -> None:
    file = bench.file([chat_line("bad", model="nobody")])
    first = bench.create(file)
    bench.done(first)
    name = bench.door.send("POST", f"/v1/batches/{first}/retry", json={}).get_json()["id"]
    bench.erase(file)
    chore = BatchRetries(bench.engine, bench.contents, bench.door.services.settings)
    while chore.piece(Event()) is MORE:
        pass
    told = bench.answer(name)
    assert (told["status"], told["errors"]["data"][0]["code"]) == ("failed", "file_gone")


def test_a_dry_run_that_is_stopped_begins_anew_and_counts_no_line_twice(bench: BatchBench) -> None:
    lines = [chat_line(f"c{n}", f"t{n}") for n in range(1_200)]
    name = bench.create(bench.file([*lines, chat_line("c0")]), dry_run=True)
    bench.take_in()  # the intake leaves it alone
    chore = BatchDryRuns(bench.engine, bench.door.services.settings, bench.contents)
    chore.piece(StopAfter(2))
    assert bench.view(name).status == "validating"
    while chore.piece(Event()) is MORE:
        pass
    report = bench.answer(name)["dry_run"]
    assert (report["lines"], report["jobs"], report["refused"]) == (1_201, 1_200, 1)
    assert [error["code"] for error in report["errors"]] == ["duplicate_custom_id"]
    [model] = report["models"]
    assert (model["lines"], model["expected_s"]) == (1_200, None)
    assert model["unknown"]  # nothing works here
    assert value(bench.engine, "SELECT count(*) FROM jobs WHERE batch_id = :id",
                 id=batch_id(name)) == 0  # fmt: skip


def test_a_dry_run_says_what_the_limits_of_its_tenant_leave(bench: BatchBench) -> None:
    limits.change(bench.engine, "default", {"queued_jobs": 3, "queued_tokens": 10_000})
    chore = BatchDryRuns(bench.engine, bench.door.services.settings, bench.contents)
    told = []
    for size in (2, 5):
        lines = [chat_line(f"c{n}") for n in range(size)]
        name = bench.create(bench.file(lines), dry_run=True)
        while chore.piece(Event()) is MORE:
            pass
        told.append(bench.answer(name)["dry_run"]["quota"])
    limits.change(bench.engine, "default", {"queued_jobs": None, "queued_tokens": None})
    assert [quota["fits"] for quota in told] == [True, False]
    assert (told[0]["queued_jobs"], told[0]["jobs_left"]) == (3, 3)


def test_what_was_appended_goes_with_its_job_or_with_the_time_of_its_batch(
    bench: BatchBench,
) -> None:
    name = bench.create(bench.file([chat_line("file")]), open=True)
    bench.take_in()
    more = "\ufeff" + "\n".join([chat_line("good"), chat_line("bad", model="nobody")])
    taken = bench.door.send("POST", f"/v1/batches/{name}/lines", data=more.encode())
    assert taken.status_code == 200, taken.text  # a byte order mark is no fault, as in a file
    bench.door.send("POST", f"/v1/batches/{name}/close")
    bench.done(name)
    kept = "SELECT line FROM appended_lines WHERE batch_id = :id ORDER BY line"
    assert [row.line for row in rows(bench.engine, kept, id=batch_id(name))] == [2, 3]
    job = "SELECT job_id FROM batch_lines WHERE batch_id = :id AND custom_id = 'good'"
    bench.door.manager.erase(bench.door.tenant_id, value(bench.engine, job, id=batch_id(name)))
    assert [row.line for row in rows(bench.engine, kept, id=batch_id(name))] == [3]
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE tenants SET retain_results_s = 3600"))
        connection.execute(text("UPDATE batches SET completed_at = now() - interval '2 hours' "
                                "WHERE id = :id"), {"id": batch_id(name)})  # fmt: skip
    bench.door.manager.erase_due()
    assert rows(bench.engine, kept, id=batch_id(name)) == []
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE tenants SET retain_results_s = NULL"))


def test_what_a_running_batch_has_yet_to_tell_is_kept_until_it_ends(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("one")]), open=True)
    bench.take_in()
    bench.run()
    erased = "SELECT count(erased_at) FROM jobs WHERE batch_id = :id"
    keep = text("UPDATE tenants SET retain_results_s = :s")
    try:
        with bench.engine.begin() as connection:
            connection.execute(keep, {"s": 0})
        bench.door.manager.erase_due()
        assert value(bench.engine, erased, id=batch_id(name)) == 0
        bench.door.send("POST", f"/v1/batches/{name}/close")
        output, errors = bench.done(name)
        assert ([line["custom_id"] for line in output], errors) == (["one"], [])
        bench.door.manager.erase_due()
        assert value(bench.engine, erased, id=batch_id(name)) == 1
    finally:
        with bench.engine.begin() as connection:
            connection.execute(keep, {"s": None})


def test_only_what_cannot_differ_is_equal() -> None:
    one = a_job(UUID(int=1))
    assert digest_of(one) == digest_of(a_job(UUID(int=2), priority=Priority.BATCH))
    assert digest_of(one) != digest_of(a_job(UUID(int=1), prompt="else"))
    schemas: list[Any] = [
        {"properties": {key: {} for key in names}} for names in (("b", "a"), ("a", "b"))
    ]
    jobs = [a_job(UUID(int=1)), a_job(UUID(int=1))]
    for job, schema in zip(jobs, schemas, strict=True):
        job.parameters["response_format"] = {"json_schema": {"schema": schema}}
    assert digest_of(jobs[0]) != digest_of(jobs[1])
    one.parameters["temperature"] = 0.5
    assert digest_of(one) is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input_file_id"),
        ({"open": False}, "input_file_id"),
        ({"open": True, "dry_run": True}, "input_file_id"),
        ({"open": "yes"}, "open"),
        ({"open": True, "priority": "soon"}, "priority"),
    ],
)
def test_a_batch_without_a_file_is_an_open_one(
    bench: BatchBench, body: dict[str, Any], param: str
) -> None:
    asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h"} | body
    answer = bench.door.send("POST", "/v1/batches", json=asked)
    status, _, named, _ = refusal(answer)
    assert (status, named) == (400, param)


@pytest.mark.parametrize(
    "body",
    [
        {"codes": []}, {"codes": ["x"] * 33}, {"model": "m"}, {"body": {"n": float("inf")}},
        {"body": {"n": "a\x00b"}}, {"body": {"n": [{"\ud800": 1}]}},
        {"body": {"n": json.loads("[" * 40 + "]" * 40)}}, {"completion_window": "99d"},
    ],
)  # fmt: skip
def test_a_retry_is_bounded_and_knows_its_fields(bench: BatchBench, body: dict[str, Any]) -> None:
    answer = bench.door.send("POST", f"/v1/batches/batch_{'0' * 32}/retry", json=body)
    assert refusal(answer)[0] == 400
