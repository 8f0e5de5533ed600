"""One prompt that kills its worker, in a batch of eight: seven succeed."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from jobs.database import open_engine
from jobs.settings import Settings
from tests.conditions import eventually
from tests.invariants import check_all_ended, unfinished
from tests.stack import Stack

POISON = "digitalis"


@pytest.fixture
def stack(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("poison"),
        database_url=database_url,
        redis_url=redis_url,
        LMAAS_ECHO_POISON=POISON,
        LMAAS_SLOTS="8",
        LMAAS_RESTART_PAUSE_S="0.05",
    )
    started.command("models_store", "echo")
    yield started
    started.close()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings, application="tests")
    yield engine
    engine.dispose()


def test_the_poison_is_a_dead_letter_and_its_neighbours_succeed(
    stack: Stack, engine: Engine
) -> None:
    stack.start("web", "dispatcher")
    stack.ready(workers=0)
    prompts = [POISON if number == 3 else f"harmless {number}" for number in range(8)]
    jobs = [
        stack.http.post(
            "/v1/jobs", json={"task": "generate", "model": "echo", "input": {"prompt": prompt}}
        ).json()
        for prompt in prompts
    ]
    stack.start("worker")
    eventually(lambda: unfinished(engine) == 0, within_s=90, what="all jobs ended")
    ended = [stack.http.get(job["urls"]["self"]).json() for job in jobs]
    assert [job["status"] for job in ended] == [
        "failed" if prompt == POISON else "succeeded" for prompt in prompts
    ]
    assert ended[3]["error"]["code"] == "poisonous"
    check_all_ended(engine)
    attempts = stack.http.get(f"{ended[3]['urls']['self']}/attempts").json()["data"]
    assert [a["reason"] for a in attempts][-3:] == ["worker_died_alone"] * 3
    again = stack.http.post(f"{ended[3]['urls']['self']}/replay")
    assert again.status_code == 202
    assert again.json()["replay_of"] == ended[3]["id"]
    assert (
        stack.http.get("/v1/jobs", params={"error_code": "poisonous"}).json()["data"][0]["id"]
        == (ended[3]["id"])
    )
