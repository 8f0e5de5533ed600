"""Whose turn it is, on real Postgres: tenants, classes, weights, and what was used."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Engine

from bells.celery_app import Bell
from dispatcher.bell_ringer import BellRinger
from dispatcher.cluster_manager import ClusterManager
from dispatcher.job_dispatcher import BUFFER, JobDispatcher
from jobs.envelopes import ClaimedJob
from jobs.settings import Settings
from jobs.shares.releases import MOST_FLOWS
from jobs.states import Priority
from jobs.task_manager import TaskManager
from tests.conditions import ROOT
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_tenant,
    a_worker,
    claimed,
    release_all,
    row,
    rows,
    submitted,
    success,
    value,
)


@pytest.fixture
def dispatcher(manager: TaskManager, engine: Engine) -> JobDispatcher:
    """Its bells are collected and never sent: nobody starts the ringer."""
    given = {"DATABASE_URL": "postgresql://nowhere", "REDIS_URL": "redis://127.0.0.1:1/0"}
    ringer = BellRinger(Bell(Settings.model_validate(given)))
    return JobDispatcher(manager, ClusterManager(engine, fresh_s=0.0), ringer)


@pytest.fixture
def tenants(engine: Engine) -> tuple[UUID, UUID]:
    return a_tenant(engine, "one"), a_tenant(engine, "two")


def served(
    manager: TaskManager, engine: Engine, rounds: int, *, each: int = 4, uses: int = 8
) -> Iterator[ClaimedJob]:
    """Jobs in the order in which a worker of `each` slots takes and ends them."""
    worker_id = a_worker(engine)
    for _ in range(rounds):
        manager.release(MODEL, VERSION, target=2 * each)
        taken = manager.claim(worker_id, MODEL, VERSION, each)
        outcomes = [replace(success(job), completion_tokens=uses) for job in taken]
        manager.finish(worker_id, outcomes)
        manager.settle()
        yield from taken


def test_a_thousand_jobs_of_one_tenant_do_not_make_another_wait(
    manager: TaskManager, engine: Engine, tenants: tuple[UUID, UUID]
) -> None:
    submitted(manager, tenants[0], 200)
    assert len(list(served(manager, engine, 10))) == 40
    submitted(manager, tenants[1], 10)
    # Eight jobs were released before it came, and then every second one is its.
    who = [job.tenant_id for job in served(manager, engine, 8)]
    assert who[:28].count(tenants[1]) == 10


def test_a_tenant_of_three_times_the_weight_gets_three_times_the_tokens(
    manager: TaskManager, engine: Engine, tenants: tuple[UUID, UUID]
) -> None:
    rows(engine, "UPDATE tenants SET weight = 3 WHERE id = :id RETURNING 1", id=tenants[1])
    for tenant in tenants:
        submitted(manager, tenant, 80)
    count = Counter(job.tenant_id for job in served(manager, engine, 16))
    assert count[tenants[1]] == pytest.approx(48, abs=3)
    assert count[tenants[0]] == pytest.approx(16, abs=3)


def test_interactive_work_overtakes_batch_work_that_is_already_released(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    submitted(manager, tenant_id, 20, priority=Priority.BATCH)
    manager.release(MODEL, VERSION, target=8)
    urgent = submitted(manager, tenant_id, 6, priority=Priority.INTERACTIVE)
    assert manager.release(MODEL, VERSION, target=8, least=8).ids == urgent
    taken = manager.claim(a_worker(engine), MODEL, VERSION, 7)
    # One batch job may be before them: it was next when they came.
    assert set(urgent) <= {job.id for job in taken}


def test_batch_work_is_not_starved_by_interactive_work_that_keeps_coming(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    [batch] = submitted(manager, tenant_id, priority=Priority.BATCH)
    worker_id = a_worker(engine)
    for _ in range(40):
        submitted(manager, tenant_id, 8, priority=Priority.INTERACTIVE)
        manager.release(MODEL, VERSION, target=8)
        if batch in [job.id for job in manager.claim(worker_id, MODEL, VERSION, 4)]:
            break
    assert row(engine, batch).state == "running"
    assert value(engine, "SELECT count(*) FROM jobs WHERE state = 'running'") > 40


def test_who_asks_for_much_and_uses_little_is_charged_for_what_it_used(
    manager: TaskManager, engine: Engine, tenants: tuple[UUID, UUID]
) -> None:
    for _ in range(120):
        manager.submit(replace(a_job(tenants[0]), max_tokens=8))
        manager.submit(replace(a_job(tenants[1]), max_tokens=800))
    early = Counter(job.tenant_id for job in served(manager, engine, 3))
    assert early[tenants[0]] > 2 * early[tenants[1]]
    # It gets back what it was charged too much, and is level in the end.
    both = early + Counter(job.tenant_id for job in served(manager, engine, 27))
    assert both[tenants[1]] == pytest.approx(both[tenants[0]], rel=0.2)


def test_the_end_of_a_job_settles_what_its_flow_was_charged(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant_id)
    assert row(engine, job.id).charged == len("hello") + 8
    manager.finish(worker_id, [replace(success(job), completion_tokens=2)])
    assert manager.settle() == 1
    assert manager.settle() == 0
    [share] = rows(engine, "SELECT virtual, fill FROM fair_shares")
    assert share.virtual == pytest.approx((len("hello") + 2) / 8)
    assert share.fill == 2 / 8
    assert value(engine, "SELECT slot_tokens_per_s FROM model_clocks") > 0


def test_a_job_that_only_reads_is_charged_its_prompt_and_teaches_no_speed(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    manager.submit(replace(a_job(tenant_id), max_tokens=0))
    release_all(manager)
    worker_id = a_worker(engine)
    [job] = manager.claim(worker_id, MODEL, VERSION, 1)
    manager.finish(worker_id, [replace(success(job, ""), completion_tokens=0)])
    assert manager.settle() == 1
    assert value(engine, "SELECT virtual FROM fair_shares") == pytest.approx(len("hello") / 8)
    assert value(engine, "SELECT slot_tokens_per_s FROM model_clocks") is None


@pytest.mark.parametrize("how", ["cancel", "expire"])
def test_a_released_job_that_never_ran_is_given_back_to_its_flow(
    manager: TaskManager, engine: Engine, tenant_id: UUID, how: str
) -> None:
    [id] = submitted(manager, tenant_id)
    release_all(manager)
    if how == "cancel":
        manager.cancel(tenant_id, id)
    else:
        rows(engine, "UPDATE jobs SET expires_at = now() - interval '1 s' RETURNING 1")
        manager.expire()
    assert manager.settle() == 1
    assert value(engine, "SELECT virtual FROM fair_shares") == 0


def test_a_job_for_later_brings_no_credit_for_the_time_until_then(
    manager: TaskManager, engine: Engine, tenants: tuple[UUID, UUID]
) -> None:
    submitted(manager, tenants[1], 10)
    rows(engine, "UPDATE jobs SET run_at = now() + interval '1 hour', floor = NULL RETURNING 1")
    submitted(manager, tenants[0], 200)
    assert {job.tenant_id for job in served(manager, engine, 20)} == {tenants[0]}
    rows(engine, "UPDATE jobs SET run_at = now() WHERE run_at IS NOT NULL RETURNING 1")
    who = [job.tenant_id for job in served(manager, engine, 8)]
    assert tenants[0] in who[8:16]
    assert who.count(tenants[1]) == 10


def test_with_more_tenants_than_one_release_looks_at_each_has_its_turn(
    manager: TaskManager, engine: Engine, dispatcher: JobDispatcher
) -> None:
    tenants = [a_tenant(engine, f"t{number}") for number in range(MOST_FLOWS + 40)]
    for tenant in tenants:
        submitted(manager, tenant, 3)
    worker_id = a_worker(engine)
    rows(engine, "UPDATE workers SET state = 'ready' RETURNING 1")
    taken: list[UUID] = []
    for _ in range(60):
        dispatcher.tick()
        assert value(engine, "SELECT count(*) FROM jobs WHERE state = 'queued' "
                             "AND released_at IS NOT NULL") <= 2 * BUFFER * 8  # fmt: skip
        taken += [job.tenant_id for job in manager.claim(worker_id, MODEL, VERSION, 8)]
    assert len(taken) == 3 * len(tenants)
    # By the time the first tenant is served a third time, all were served once.
    third = next(n for n in range(len(taken)) if taken[: n + 1].count(taken[n]) == 3)
    assert set(taken[:third]) == set(tenants)


def test_an_operator_lists_tenants_and_sets_a_weight(
    engine: Engine, database_url: str, tenants: tuple[UUID, UUID]
) -> None:
    def said(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "api.tenants", *words], cwd=ROOT, text=True, timeout=60,
            env=os.environ | {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1/0"},
            capture_output=True, check=False,
        )  # fmt: skip

    assert said("weight", "two", "2.5").returncode == 0
    assert [line.split("\t")[:2] for line in said("ls").stdout.splitlines()] == [
        ["one", "1"],
        ["two", "2.5"],
    ]
    assert "no tenant 'nobody'" in said("weight", "nobody", "2").stderr
    for bad in ("0", "nan", "inf"):
        refused = said("weight", "two", bad)
        assert refused.returncode == 2
        assert refused.stderr.splitlines()[-1].startswith("Error: Invalid value")
        assert "1000" in refused.stderr
        assert "Traceback" not in refused.stderr
    calendars_begin = said("usage", "--to", "0001-01-01")
    assert (calendars_begin.returncode, calendars_begin.stderr) == (0, "")
    assert calendars_begin.stdout.startswith("tenant,")
