"""The end of a batch is told with the status that it has, once; its lines are not."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.webhooks.events import EVENTS
from jobs.webhooks.outbox import Outbox
from tests.integration.batch_bench import BatchBench, chat_line
from tests.integration.front_door import FrontDoor, front_door
from tests.integration.job_samples import rows


@pytest.fixture(scope="module")
def door(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontDoor]:
    folder = tmp_path_factory.mktemp("door")
    with front_door(folder, database_url=module_database_url, redis_url=redis_url) as opened:
        made = opened.services.webhooks.create(opened.tenant_id, "https://x.example/", EVENTS, "")
        assert made
        yield opened


@pytest.fixture
def bench(door: FrontDoor) -> BatchBench:
    return BatchBench.over(door)


def told(bench: BatchBench, name: str) -> list[str]:
    """The events of a batch; there are none of its lines."""
    Outbox(bench.engine, 45).spread()
    found = rows(bench.engine, "SELECT type, subject FROM webhook_deliveries ORDER BY id")
    assert not [row for row in found if row.type.startswith("job.")]
    return [row.type for row in found if row.subject == name]


def made(bench: BatchBench, lines: int = 3, **more: Any) -> str:
    return bench.create(bench.file(chat_line(f"c{n}") for n in range(lines)), **more)


def test_a_batch_that_ran_is_completed(bench: BatchBench) -> None:
    name = made(bench)
    bench.take_in()
    bench.run()
    bench.finish()
    bench.finish()
    assert told(bench, name) == ["batch.completed"]


def test_a_file_of_no_use_is_a_failed_batch(bench: BatchBench) -> None:
    name = bench.create(bench.file(b"\n"))
    bench.take_in()
    assert told(bench, name) == ["batch.failed"]


def test_a_cancelled_batch_is_told_when_it_is_over_and_not_when_it_is_asked_for(
    bench: BatchBench,
) -> None:
    name = made(bench)
    bench.take_in()
    bench.door.send("POST", f"/v1/batches/{name}/cancel")
    assert told(bench, name) == []
    bench.finish()
    assert told(bench, name) == ["batch.cancelled"]


def test_a_batch_whose_window_is_over_is_expired(bench: BatchBench) -> None:
    name = made(bench)
    bench.take_in()
    for table in ("batches", "jobs"):
        rows(bench.engine, f"UPDATE {table} SET expires_at = clock_timestamp() "
             "WHERE expires_at > clock_timestamp() RETURNING 1")  # fmt: skip
    bench.door.manager.expire()
    bench.finish()
    assert told(bench, name) == ["batch.expired"]
