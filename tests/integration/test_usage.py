"""Usage: each job that ended counts once, on its day, whatever is killed between."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from api.routes.tenant_routes import UsageList
from jobs import usage
from jobs.database import run
from jobs.shares.statements import SETTLE
from jobs.task_manager import TaskManager
from jobs.usage import UsageLine, Wanted
from tests.integration.front_door import FrontDoor, front_door, read, refusal
from tests.integration.job_samples import (
    a_tenant,
    at_once,
    claimed,
    failure,
    release_all,
    row,
    rows,
    submitted,
    success,
    value,
)

TODAY = datetime.now(UTC).date()
WIDE = Wanted(TODAY - timedelta(days=1), TODAY + timedelta(days=1))


def used(engine: Engine, tenant_id: UUID) -> tuple[int, ...]:
    """Succeeded, failed, cancelled, expired, prompt and completion tokens in all."""
    lines = usage.of_tenant(engine, tenant_id, WIDE)
    names = ("succeeded", "failed", "cancelled", "expired", "prompt_tokens", "completion_tokens")
    return tuple(sum(getattr(line, name) for line in lines) for name in names)


def test_each_end_counts_once_by_its_state_before_and_after_it_is_folded(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    waiting, late = submitted(manager, tenant_id, 2)
    manager.cancel(tenant_id, waiting)
    rows(engine, "UPDATE jobs SET expires_at = clock_timestamp() WHERE id = :id RETURNING 1",
         id=late)  # fmt: skip
    assert manager.expire() == [late]
    worker_id, jobs = claimed(manager, engine, tenant_id, 3)
    manager.cancel(tenant_id, jobs[2].id)
    manager.finish(worker_id, [success(jobs[0], "four"), failure(jobs[1]), success(jobs[2], "six")])
    expected = (1, 1, 2, 1, 2 * len("hello"), len("four") + len("six"))
    assert used(engine, tenant_id) == expected
    assert manager.settle() == 5
    assert used(engine, tenant_id) == expected
    assert manager.settle() == 0
    assert used(engine, tenant_id) == expected


def test_a_retry_and_a_job_that_was_given_back_are_no_usage(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, [one, other] = claimed(manager, engine, tenant_id, 2)
    tried = replace(failure(one, retryable=True), completion_tokens=7)
    manager.finish(worker_id, [tried])
    manager.give_back(worker_id, [other.id])
    manager.settle()
    assert used(engine, tenant_id) == (0, 0, 0, 0, 0, 0)
    release_all(manager)
    [again] = manager.claim(worker_id, "echo", 1, 1)
    manager.finish(worker_id, [success(again)])
    manager.settle()
    assert used(engine, tenant_id)[0] == 1


def test_a_stale_write_and_a_repeated_one_count_nothing(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, [job] = claimed(manager, engine, tenant_id)
    for _ in range(3):
        manager.finish(worker_id, [success(job, "four")])
    other, [taken] = claimed(manager, engine, tenant_id)
    manager.give_back(other, [taken.id])
    assert manager.finish(other, [success(taken)]) == {}
    assert used(engine, tenant_id) == (1, 0, 0, 0, 5, 4)


def test_a_settlement_is_counted_and_taken_out_together_or_not_at_all(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant_id, 2)
    manager.finish(worker_id, [success(job) for job in jobs])
    with engine.connect() as connection:  # one that is killed before its commit
        assert connection.execute(SETTLE).one().ended == 2
        connection.rollback()
    assert used(engine, tenant_id)[0] == 2
    at_once(*[manager.settle] * 6)
    assert used(engine, tenant_id)[0] == 2
    assert value(engine, "SELECT count(*) FROM settlements") == 0


def test_a_day_ends_at_midnight_utc_and_models_are_told_apart(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant_id, 2)
    manager.finish(worker_id, [success(job) for job in jobs])
    rows(engine, "UPDATE settlements SET ended_on = '2026-01-31', model = 'other' "
                 "WHERE ctid = (SELECT min(ctid) FROM settlements) RETURNING 1")  # fmt: skip
    manager.settle()
    manager.settle()
    year = Wanted(date(2026, 1, 1), TODAY)
    lines = usage.of_tenant(engine, tenant_id, year)
    assert [(line.day, line.model, line.succeeded) for line in lines] == [
        (date(2026, 1, 31), "other", 1),
        (row(engine, jobs[0].id).finished_at.astimezone(UTC).date(), "echo", 1),
    ]
    january = Wanted(date(2026, 1, 31), date(2026, 1, 31))
    assert [line.model for line in usage.of_tenant(engine, tenant_id, january)] == ["other"]


def test_usage_is_the_ledgers_own_sum(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    worker_id, jobs = claimed(manager, engine, tenant_id, 6)
    manager.finish(worker_id, [success(job, "x" * n) for n, job in enumerate(jobs[:4])])
    manager.finish(worker_id, [failure(job) for job in jobs[4:]])
    manager.settle()
    sums = run(engine, text("""
      SELECT count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
             count(*) FILTER (WHERE state = 'failed') AS failed,
             sum(prompt_tokens) FILTER (WHERE state = 'succeeded' OR completion_tokens > 0) AS read,
             sum(completion_tokens) AS written FROM jobs"""), {})  # fmt: skip
    line = used(engine, tenant_id)
    assert (line[0], line[1], line[4], line[5]) == tuple(sums[0])


def test_an_operator_sees_all_tenants_apart(
    manager: TaskManager, engine: Engine, tenant_id: UUID
) -> None:
    other = a_tenant(engine, "other")
    for one in (tenant_id, other):
        worker_id, [job] = claimed(manager, engine, one)
        manager.finish(worker_id, [success(job)])
    lines: list[UsageLine] = usage.of_all(engine, WIDE)
    assert sorted(str(line.tenant_id) for line in lines) == sorted(map(str, (tenant_id, other)))


@pytest.fixture(scope="module")
def door(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontDoor]:
    folder = tmp_path_factory.mktemp("usage")
    with front_door(folder, database_url=module_database_url, redis_url=redis_url) as opened:
        worker_id, [job] = claimed(opened.manager, opened.engine, opened.tenant_id)
        opened.manager.finish(worker_id, [success(job, "four")])
        yield opened


@pytest.mark.parametrize(
    ("group", "day", "model"),
    [("day,model", True, True), ("day", True, False), ("model", False, True),
     ("none", False, False)],
)  # fmt: skip
def test_a_tenant_reads_its_own_usage(group: str, day: bool, model: bool, door: FrontDoor) -> None:
    [line] = read(door.get(f"/v1/usage?group={group}"), UsageList).data
    assert (line.day is not None, line.model == "echo@1") == (day, model)
    assert (line.jobs.succeeded, line.prompt_tokens, line.completion_tokens) == (1, 5, 4)
    assert line.total_tokens == 9


def test_usage_of_other_models_days_and_tenants_is_not_there(door: FrontDoor) -> None:
    for query in ("model=other", "model=echo@2", "from=2020-01-01&to=2020-12-31"):
        assert read(door.get(f"/v1/usage?{query}"), UsageList).data == []
    assert read(door.get("/v1/usage?model=echo"), UsageList).data
    assert read(door.get("/v1/usage", key=door.key(tenant="else")), UsageList).data == []


@pytest.mark.parametrize(
    "query",
    ["from=2026-02-01&to=2026-01-01", "from=2020-01-01&to=2026-01-01", "from=x", "group=tenant",
     "limit=0", "model=@1", "model=%00", "unknown=1", "to=0001-01-01&from=0001-01-02"],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(query: str, door: FrontDoor) -> None:
    assert refusal(door.get(f"/v1/usage?{query}"))[0] in (400, 422)
