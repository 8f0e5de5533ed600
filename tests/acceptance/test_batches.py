"""Batches with the real openai client, on the running stack, while housekeepers die."""

import io
import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import NotFoundError, OpenAI
from sqlalchemy import Engine, text

from jobs.database import open_engine, run
from jobs.settings import Settings
from tests.chaos.checker import check_run
from tests.chaos.dirty_file import URL, DirtyFile, breaches, dirty_file, line
from tests.chaos.history import Entry, History, Kind
from tests.conditions import eventually
from tests.stack import Stack

SEED = 11
ENDED = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("batches"),
        database_url=module_database_url,
        redis_url=redis_url,
        LMAAS_DEVICE="cpu",
    )
    started.command("models_store", "echo")
    started.start("web", "dispatcher", "worker")  # tests bring housekeepers of their own
    started.ready()
    yield started
    started.close()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def engine(stack: Stack) -> Iterator[Engine]:
    engine = open_engine(Settings.model_validate(stack.environment), application="tests")
    yield engine
    engine.dispose()


def create(client: OpenAI, data: bytes, **more: Any) -> str:
    file = client.files.create(file=("in.jsonl", io.BytesIO(data)), purpose="batch")
    given: Any = {"endpoint": URL, "completion_window": "24h"} | more
    return client.batches.create(input_file_id=file.id, **given).id


def content(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    told = client.files.content(file_id).text
    return [json.loads(row) for row in told.splitlines()]


def ended(client: OpenAI, id: str, *, within_s: float = 60) -> Any:
    def look() -> Any:
        found = client.batches.retrieve(id)
        return found if found.status in ENDED else None

    return eventually(look, within_s=within_s, what=f"{id} has ended")


class Reader(threading.Thread):
    """Reads the counts of a batch again and again, and writes down what it is told."""

    def __init__(self, client: OpenAI, id: str, history: History) -> None:
        super().__init__()
        self._client, self._id, self._history = client, id, history
        self._stop_it = threading.Event()

    def run(self) -> None:
        while not self._stop_it.wait(0.05):
            began = time.time()
            told = self._client.batches.retrieve(self._id)
            assert told.request_counts is not None
            counts = [told.request_counts.total, told.request_counts.completed,
                      told.request_counts.failed]  # fmt: skip
            self._history.add(Entry(Kind.BATCH, began, time.time(), id=self._id,
                                    state=told.status, counts=counts))  # fmt: skip

    def end(self) -> None:
        self._stop_it.set()
        self.join(timeout=10)


def killed(stack: Stack, engine: Engine, name: str, point: str) -> None:
    """A housekeeper that works until it dies at a point. Its lease of a batch is
    over at once, as it would be some seconds later."""
    stack.start(name, LMAAS_FAILPOINTS=point)
    eventually(lambda: stack.has_ended(name), within_s=30, what=f"{name} died at {point}")
    assert f"failpoint {point.partition('=')[0]}: kill" in stack.log(name)
    stack.forget(name)
    run(engine, text("UPDATE batches SET taken_until = clock_timestamp() "
                     "WHERE taken_by IS NOT NULL RETURNING id"), {})  # fmt: skip


def in_progress(engine: Engine) -> int:
    sql = "SELECT count(*) FROM batches WHERE status = 'in_progress'"
    return int(run(engine, text(sql), {})[0][0])


def test_a_dirty_batch_survives_kills_of_its_housekeepers_between_any_two_lines(
    stack: Stack, client: OpenAI, engine: Engine
) -> None:
    sent = dirty_file(random.Random(SEED), 2_500)
    history = History()
    id = create(client, sent.data)
    reader = Reader(client, id, history)
    reader.start()
    killed(stack, engine, "housekeeper.taking", "batches.taking=kill@2")
    killed(stack, engine, "housekeeper.taken", "batches.taken=kill@2")
    killed(stack, engine, "housekeeper.writing", "batches.writing=kill@1")
    killed(stack, engine, "housekeeper.kept", "files.kept=kill@1")
    killed(stack, engine, "housekeeper.written", "batches.written=kill@1")
    stack.start("housekeeper")
    told = ended(client, id)
    reader.end()
    assert told.status == "completed"
    check_files(client, sent, told)
    assert told.request_counts.total == sent.lines
    check_run(engine, history)
    files = "SELECT count(*) FROM files WHERE purpose = 'batch_output'"
    assert run(engine, text(files), {})[0][0] == 2


def check_files(client: OpenAI, sent: DirtyFile, told: Any) -> None:
    output, errors = content(client, told.output_file_id), content(client, told.error_file_id)
    assert breaches(sent, output, errors) == []


def test_what_the_client_knows_of_batches_works(stack: Stack, client: OpenAI) -> None:
    id = create(client, "\n".join(line(f"c{n}", f"hi {n}") for n in range(20)).encode(),
                metadata={"for": "this test"}, output_expires_after={
                    "anchor": "created_at", "seconds": 3_600})  # fmt: skip
    told = ended(client, id)
    assert (told.status, told.errors, told.metadata) == ("completed", None, {"for": "this test"})
    assert told.usage is not None
    assert told.usage.output_tokens > 0
    assert [one["custom_id"] for one in content(client, told.output_file_id)] == [
        f"c{n}" for n in range(20)
    ]
    assert told.output_file_id is not None
    assert client.files.retrieve(told.output_file_id).purpose == "batch_output"
    assert next(iter(client.batches.list(limit=1))).id == id
    assert len(list(client.batches.list(limit=1))) == 2  # by pages
    with pytest.raises(NotFoundError):
        client.batches.retrieve("batch_17")


def test_a_cancelled_batch_ends_and_tells_of_every_line(stack: Stack, client: OpenAI) -> None:
    rows = [line(f"c{n}", "x", model="quiet") for n in range(300)]
    stack.command("models_store", "echo", "--name", "quiet")  # nobody hosts it
    id = create(client, "\n".join(rows).encode())
    eventually(lambda: client.batches.retrieve(id).status == "in_progress")
    assert client.batches.cancel(id).status == "cancelling"
    told = ended(client, id)
    assert told.status == "cancelled"
    assert len(content(client, told.error_file_id)) == 300
    assert told.request_counts is not None
    assert told.request_counts.failed == 300
