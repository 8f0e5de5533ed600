"""The trigger in Postgres allows what TRANSITIONS allows, and nothing else."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from jobs.database import open_engine
from jobs.ids import new_id
from jobs.settings import Settings
from jobs.states import TERMINAL, TRANSITIONS, State

# A job in each state, as it may come to be; made around the guard.
_MAKE = text("""
INSERT INTO jobs (id, tenant_id, task, model, version, priority, client_address, rank,
                  prompt_tokens, max_tokens, state, attempt, worker_id, finish_reason,
                  completion_tokens, finished_at)
VALUES (:id, :id, 'generate', 'echo', 1, 'normal', '', clock_timestamp(), 1, 1, :state, 1, :id,
        'stop', 5, CASE WHEN :over THEN clock_timestamp() END)
""")


@pytest.fixture(scope="module")
def engine(module_database_url: str, redis_url: str) -> Iterator[Engine]:
    given = {"DATABASE_URL": module_database_url, "REDIS_URL": redis_url}
    engine = open_engine(Settings.model_validate(given), application="tests")
    yield engine
    engine.dispose()


def made(engine: Engine, state: State) -> UUID:
    id = new_id()
    with engine.begin() as connection:
        connection.execute(_MAKE, {"id": id, "state": state, "over": state in TERMINAL})
    return id


def update(engine: Engine, id: UUID, change: str, **values: object) -> None:
    with engine.begin() as connection:
        done = connection.execute(
            text(f"UPDATE jobs SET {change} WHERE id = :id"), {"id": id} | values
        )
        assert done.rowcount == 1


@pytest.mark.parametrize("end", State)
@pytest.mark.parametrize("start", State)
def test_a_change_of_state_is_possible_exactly_if_the_table_has_it(
    start: State, end: State, engine: Engine
) -> None:
    id = made(engine, start)
    if end in TRANSITIONS[start] or start is end:
        update(engine, id, "state = :state", state=end.value)
    else:
        with pytest.raises(IntegrityError, match=f"is {start}"):
            update(engine, id, "state = :state", state=end.value)


@pytest.mark.parametrize(
    "change",
    [
        "attempt = attempt + 1",
        "worker_id = gen_random_uuid()",
        "worker_id = NULL",
        "finish_reason = 'length'",
        "finish_reason = NULL",
        "error_code = 'engine_failed'",
        "completion_tokens = 6",
        "completion_tokens = NULL",
        "prompt_tokens = 2",
        "finished_at = clock_timestamp()",
        "finished_at = NULL",
    ],
)
@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_the_outcome_of_a_finished_job_never_changes(
    state: State, change: str, engine: Engine
) -> None:
    id = made(engine, state)
    with pytest.raises(IntegrityError, match=f"is {state}"):
        update(engine, id, change)


def test_an_unknown_state_is_refused(engine: Engine) -> None:
    with pytest.raises(IntegrityError):
        update(engine, made(engine, State.QUEUED), "state = 'paused'")


def test_a_running_job_has_a_worker(engine: Engine) -> None:
    with pytest.raises(IntegrityError, match="running_has_worker"):
        update(engine, made(engine, State.QUEUED), "state = 'running', worker_id = NULL")


def test_what_is_not_the_outcome_may_be_set_while_a_job_runs(engine: Engine) -> None:
    update(engine, made(engine, State.RUNNING), "cancel_requested = true, attempt = attempt + 1")
