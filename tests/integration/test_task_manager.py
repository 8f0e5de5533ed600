"""The Task Manager on real Postgres: submit, release, claim, finish."""

import json
from dataclasses import replace
from uuid import UUID

import pytest
from psycopg import DataError
from sqlalchemy import Engine

from jobs import job_views, leases
from jobs.envelopes import Outcome
from jobs.ids import new_id
from jobs.job_views import JobFilter
from jobs.states import Priority, State
from jobs.task_manager import TaskManager
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_tenant,
    a_worker,
    claimed,
    failure,
    history,
    release_all,
    results,
    row,
    rows,
    state_of,
    submitted,
    success,
    value,
)


@pytest.fixture
def manager(engine: Engine) -> TaskManager:
    return TaskManager(engine)


@pytest.fixture
def tenant(engine: Engine) -> UUID:
    return a_tenant(engine)


def test_an_accepted_job_is_there_with_its_input_and_its_first_event(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    job = a_job(tenant, prompt="grüße 😀")
    accepted = manager.submit(job)
    assert accepted.id == job.id
    found = row(engine, job.id)
    assert found.submitted_at == accepted.submitted_at
    assert (found.state, found.attempt, found.crashes) == ("queued", 0, 0)
    assert (found.client_address, found.prompt_tokens, found.max_tokens) == ("127.0.0.1", 7, 8)
    assert found.released_at is None
    assert history(engine, job.id) == ["queued"]
    content = rows(engine, "SELECT * FROM job_inputs WHERE job_id = :id", id=job.id)[0]
    assert content.input == {"prompt": "grüße 😀"}
    assert content.labels == {"made": "here"}


def test_submitting_the_same_job_again_adds_nothing(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    job = a_job(tenant)
    manager.submit(job)
    assert manager.submit(job).submitted_at is None
    assert history(engine, job.id) == ["queued"]


def test_a_job_runs_from_submit_to_success_and_its_history_is_its_states(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    assert (job.attempt, job.task, job.input) == (1, "generate", {"prompt": "hello"})
    assert manager.finish(worker_id, [success(job)]) == {job.id: State.SUCCEEDED}
    view = job_views.get(engine, tenant, job.id)
    assert view is not None
    assert (view.state, view.text, view.finish_reason) == ("succeeded", "hello", "stop")
    assert view.is_terminal
    assert view.started_at and view.first_token_at and view.finished_at
    assert view.submitted_at <= view.started_at <= view.finished_at
    assert view.first_token_at <= view.finished_at
    assert history(engine, job.id) == ["queued", "running", "succeeded"]
    assert results(engine, job.id) == 1


def test_a_failure_keeps_its_code_and_its_message(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    assert manager.finish(worker_id, [failure(job)]) == {job.id: State.FAILED}
    view = job_views.get(engine, tenant, job.id)
    assert view is not None
    assert (view.error_code, view.error_message, view.text) == ("engine_failed", "it broke", None)
    assert history(engine, job.id)[-1] == "failed"


def test_many_outcomes_are_committed_in_one_go_and_stale_ones_left_out(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant, 5)
    manager.give_back(worker_id, [jobs[0].id])
    states = manager.finish(worker_id, [success(job) for job in jobs])
    assert states == dict.fromkeys([job.id for job in jobs[1:]], State.SUCCEEDED)
    assert state_of(engine, jobs[0].id) is State.QUEUED
    assert results(engine, jobs[0].id) == 0


def test_finishing_twice_returns_the_same_state_and_writes_once(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    first = manager.finish(worker_id, [success(job, "first")])
    assert manager.finish(worker_id, [success(job, "second")]) == first
    view = job_views.get(engine, tenant, job.id)
    assert view is not None
    assert view.text == "first"
    assert history(engine, job.id).count("succeeded") == 1


@pytest.mark.parametrize("wrong", ["attempt", "worker", "state"])
def test_finish_is_fenced(wrong: str, manager: TaskManager, engine: Engine, tenant: UUID) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    outcome = success(job)
    if wrong == "attempt":
        outcome = Outcome(id=job.id, attempt=job.attempt + 1, state=State.SUCCEEDED, text="x")
    if wrong == "worker":
        worker_id = a_worker(engine)
    if wrong == "state":
        manager.give_back(worker_id, [job.id])
    before = row(engine, job.id)
    assert manager.finish(worker_id, [outcome]) == {}
    assert row(engine, job.id) == before
    assert results(engine, job.id) == 0


def test_a_stale_finish_after_the_job_went_elsewhere_is_discarded(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    old, [stale] = claimed(manager, engine, tenant)
    leases.end(engine, old)
    assert manager.reclaim() == {stale.id: State.QUEUED}
    new = a_worker(engine)
    [fresh] = manager.claim(new, MODEL, VERSION, 1)
    assert (fresh.id, fresh.attempt) == (stale.id, 2)
    assert manager.finish(old, [success(stale, "stale")]) == {}
    assert manager.finish(new, [success(fresh, "fresh")]) == {fresh.id: State.SUCCEEDED}
    assert manager.finish(old, [success(stale, "stale")]) == {}
    view = job_views.get(engine, tenant, fresh.id)
    assert view is not None
    assert view.text == "fresh"
    assert history(engine, fresh.id) == ["queued", "running", "queued", "running", "succeeded"]


def test_an_unreleased_job_is_not_claimed(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    submitted(manager, tenant)
    assert manager.claim(a_worker(engine), MODEL, VERSION, 8) == []


def test_a_claim_takes_no_more_than_is_free_and_no_other_model(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    mine = submitted(manager, tenant, 5)
    submitted(manager, tenant, 5, model="other")
    release_all(manager)
    release_all(manager, model="other")
    worker_id = a_worker(engine)
    assert [job.id for job in manager.claim(worker_id, MODEL, VERSION, 3)] == mine[:3]
    assert [job.id for job in manager.claim(worker_id, MODEL, VERSION, 9)] == mine[3:]


@pytest.mark.parametrize("end", ["ended", "overdue", "unknown"])
def test_a_worker_without_a_live_lease_claims_nothing(
    end: str, manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    submitted(manager, tenant)
    release_all(manager)
    worker_id = new_id() if end == "unknown" else a_worker(engine)
    if end == "ended":
        leases.end(engine, worker_id)
    if end == "overdue":
        expire = "UPDATE workers SET lease_until = clock_timestamp() - interval '1 ms' RETURNING 1"
        rows(engine, expire)
    assert manager.claim(worker_id, MODEL, VERSION, 8) == []


def test_classes_of_one_age_are_claimed_interactive_first_batch_last(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    order = [Priority.BATCH, Priority.NORMAL, Priority.INTERACTIVE]
    ids = {priority: submitted(manager, tenant, 2, priority=priority) for priority in order}
    release_all(manager)
    got = [job.id for job in manager.claim(a_worker(engine), MODEL, VERSION, 9)]
    assert got == [*ids[Priority.INTERACTIVE], *ids[Priority.NORMAL], *ids[Priority.BATCH]]


def test_release_lets_the_best_through_and_tops_up_to_its_target(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    ids = submitted(manager, tenant, 10)
    assert set(manager.release(MODEL, VERSION, target=4).ids) == set(ids[:4])
    assert manager.release(MODEL, VERSION, target=4).ids == []
    manager.claim(a_worker(engine), MODEL, VERSION, 3)
    assert set(manager.release(MODEL, VERSION, target=4).ids) == set(ids[4:7])


def test_a_release_tells_whether_released_jobs_wait_untaken(
    manager: TaskManager, tenant: UUID, engine: Engine
) -> None:
    submitted(manager, tenant, 2)
    assert not manager.release(MODEL, VERSION, target=1).backlog
    rows(engine, "UPDATE jobs SET released_at = released_at - interval '1 s' "
                 "WHERE released_at IS NOT NULL RETURNING 1")  # fmt: skip
    assert manager.release(MODEL, VERSION, target=2).backlog
    manager.claim(a_worker(engine), MODEL, VERSION, 2)
    submitted(manager, tenant)
    assert not manager.release(MODEL, VERSION, target=2).backlog


def test_given_back_jobs_run_again_uncharged(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant, 3)
    ids = [job.id for job in jobs]
    assert set(manager.give_back(worker_id, [*ids, new_id()])) == set(ids)
    assert manager.give_back(worker_id, ids) == []
    for id in ids:
        assert (row(engine, id).state, row(engine, id).crashes) == ("queued", 0)
        assert row(engine, id).worker_id is None
    again = manager.claim(a_worker(engine), MODEL, VERSION, 9)
    assert [(job.id, job.attempt) for job in again] == [(id, 2) for id in ids]


def test_nobody_gives_back_what_another_worker_holds(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    _, [job] = claimed(manager, engine, tenant)
    assert manager.give_back(a_worker(engine), [job.id]) == []
    assert state_of(engine, job.id) is State.RUNNING


def test_held_is_what_the_worker_runs(manager: TaskManager, engine: Engine, tenant: UUID) -> None:
    worker_id, [one, two] = claimed(manager, engine, tenant, 2)
    manager.cancel(tenant, one.id)
    held = manager.held(worker_id)
    assert {id: (job.attempt, job.cancel_requested) for id, job in held.items()} == {
        one.id: (1, True),
        two.id: (1, False),
    }
    manager.finish(worker_id, [success(one), success(two)])
    assert manager.held(worker_id) == {}


def test_a_list_paged_by_cursor_holds_every_job_exactly_once(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    ids = submitted(manager, tenant, 23)
    submitted(manager, a_tenant(engine, "other"), 5)
    seen: list[UUID] = []
    before: UUID | None = None
    while page := job_views.list_jobs(engine, tenant, JobFilter(before=before, limit=5)):
        seen += [view.id for view in page]
        before = page[-1].id
        submitted(manager, tenant)  # newer ones do not shift the pages
    assert seen == sorted(ids, reverse=True)


def test_a_list_can_be_narrowed(manager: TaskManager, engine: Engine, tenant: UUID) -> None:
    [waiting] = submitted(manager, tenant, model="other")
    worker_id, [job] = claimed(manager, engine, tenant)
    manager.finish(worker_id, [success(job)])

    def ids(wanted: JobFilter) -> list[UUID]:
        return [view.id for view in job_views.list_jobs(engine, tenant, wanted)]

    assert ids(JobFilter(state="queued")) == [waiting]
    assert ids(JobFilter(state="succeeded")) == [job.id]
    assert ids(JobFilter(model="other", version=VERSION)) == [waiting]
    assert ids(JobFilter(model="other", version=VERSION + 1)) == []
    assert ids(JobFilter(task="chat")) == []
    assert [view.text for view in job_views.list_jobs(engine, tenant, JobFilter())] == [None, None]


def test_another_tenant_sees_and_changes_nothing(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    [id] = submitted(manager, tenant)
    other = a_tenant(engine, "other")
    assert job_views.get(engine, other, id) is None
    assert job_views.list_jobs(engine, other, JobFilter()) == []
    assert manager.cancel(other, id) is None
    assert state_of(engine, id) is State.QUEUED
    assert history(engine, id) == ["queued"]


def test_queue_depths_count_what_waits_and_runs(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant, 3)
    manager.finish(worker_id, [success(jobs[0])])
    submitted(manager, tenant, 4)
    [depth] = job_views.queue_depths(engine)
    assert (depth.model, depth.version, depth.queued, depth.running) == (MODEL, VERSION, 4, 2)


def test_a_second_result_row_for_one_job_is_impossible(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    manager.finish(worker_id, [success(job)])
    unique = """SELECT count(*) FROM pg_index WHERE indrelid = 'job_results'::regclass
                AND indisunique AND indnatts = 1"""
    assert value(engine, unique) == 1


def test_one_job_twice_in_one_batch_of_outcomes_is_written_once(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    states = manager.finish(worker_id, [success(job, "one"), success(job, "two")])
    assert states == {job.id: State.SUCCEEDED}
    assert results(engine, job.id) == 1


def test_an_error_of_the_database_shows_nothing_of_a_job(
    manager: TaskManager, engine: Engine, tenant: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant)
    with pytest.raises(DataError) as caught:
        manager.finish(worker_id, [success(job, "CANARY-3140\x00")])
    assert "CANARY-3140" not in str(caught.value)
    assert state_of(engine, job.id) is State.RUNNING


def test_what_was_asked_keeps_the_order_of_its_keys_and_so_does_its_replay(
    engine: Engine, manager: TaskManager, tenant_id: UUID
) -> None:
    asked = {"max_tokens": 8, "form": {"reasoning": 1, "answer": {"z": 1, "aa": 2, "b": 3}}}
    job = replace(a_job(tenant_id), parameters=asked, asked=asked)
    manager.submit(job)
    release_all(manager)
    worker_id = a_worker(engine)
    [first] = manager.claim(worker_id, MODEL, VERSION, 1)
    assert manager.finish(worker_id, [success(first)])
    assert manager.replay(tenant_id, job.id, "127.0.0.1")
    release_all(manager)
    [again] = manager.claim(worker_id, MODEL, VERSION, 1)
    kept = job_views.asked(engine, job.id)
    assert [json.dumps(one) for one in (first.parameters, again.parameters, kept)] == [
        json.dumps(asked)
    ] * 3
