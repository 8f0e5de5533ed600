"""The Job Handler with a real Model Server, the echo engine and real Postgres."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine

from jobs.settings import Settings
from jobs.states import State
from models_store.echo import write_folder
from tests.conditions import eventually
from tests.integration.job_samples import (
    MODEL,
    VERSION,
    a_job,
    a_worker,
    history,
    row,
    rows,
    state_of,
)
from tests.integration.worker_bench import Bench


@pytest.fixture
def bench(engine: Engine, settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "echo"
    folder.mkdir()
    write_folder(folder)
    made = Bench(engine, settings, folder)
    yield made
    made.stop()
    assert made.broken == []


def test_a_bell_runs_what_is_released_and_tells_how_it_ended(bench: Bench) -> None:
    bench.handler.start(bench.server)
    ids = [bench.submit(a_job(bench.tenant_id, prompt="hi")) for _ in range(3)]
    told = bench.handler.run(ids)
    eventually(lambda: all(bench.view(id).is_terminal for id in ids), within_s=10)
    assert set(told.values()) <= {"succeeded"}
    assert [bench.view(id).text for id in ids] == ["hi"] * 3
    assert len(bench.held) == bench.held.in_engine == 0


def test_after_a_crash_loop_one_job_runs_alone_before_the_others(bench: Bench) -> None:
    bench.confidence.careful = True
    long, *others = [
        bench.submit(a_job(bench.tenant_id, prompt="one by one"[:n])) for n in (8, 2, 2)
    ]
    bench.handler.start(bench.server)
    bench.handler.run([long])  # returns when that job has ended
    assert bench.view(long).is_terminal
    eventually(lambda: all(bench.view(id).is_terminal for id in others), within_s=10)
    first_end = bench.view(long).finished_at
    assert first_end is not None
    started = [bench.view(id).started_at for id in others]
    # The engine is done before the result is committed, hence a moment's grace.
    assert all(at is not None and at > first_end - timedelta(milliseconds=200) for at in started)


def test_a_bell_without_jobs_and_with_foreign_ids_is_a_no_op(bench: Bench) -> None:
    bench.handler.start(bench.server)
    assert bench.handler.run([]) == {}
    assert bench.handler.run([UUID(int=0), UUID(int=2**128 - 1)]) == {}


def test_a_job_that_cannot_run_fails_alone_with_a_code(bench: Bench) -> None:
    bench.handler.start(bench.server)
    bad, good = a_job(bench.tenant_id), a_job(bench.tenant_id, prompt="fine")
    bad.parameters["max_tokens"] = -1  # as if the router had let it through
    ids = [bench.submit(bad), bench.submit(good)]
    eventually(lambda: all(bench.view(id).is_terminal for id in ids), within_s=10)
    assert [bench.view(id).state for id in ids] == ["failed", "succeeded"]
    assert bench.view(ids[0]).error_code == "internal_error"


def test_a_prompt_that_does_not_fit_the_engine_fails_alone(bench: Bench) -> None:
    bench.handler.start(bench.server)
    id = bench.submit(a_job(bench.tenant_id, prompt="x" * 9_000))
    eventually(lambda: bench.view(id).is_terminal, within_s=10)
    assert bench.view(id).error_code == "context_length_exceeded"
    assert bench.held.in_engine == 0


def test_a_cancel_between_claim_and_join_is_obeyed(bench: Bench) -> None:
    bench.renderer.go_on.clear()
    bench.handler.start(bench.server)
    id = bench.long_job()
    assert bench.renderer.entered.wait(10)
    bench.manager.cancel(bench.tenant_id, id)
    bench.handler.running.end(id, State.CANCELLED)
    bench.renderer.go_on.set()
    eventually(lambda: bench.view(id).is_terminal, within_s=3)
    assert bench.view(id).state == "cancelled"
    assert bench.view(id).finish_reason == "cancelled"


def test_a_job_that_is_lost_between_claim_and_join_leaves_the_engine(bench: Bench) -> None:
    bench.renderer.go_on.clear()
    bench.handler.start(bench.server)
    id = bench.long_job()
    assert bench.renderer.entered.wait(10)
    held = bench.held.get(id)
    assert held is not None
    bench.handler.running.drop(held)
    bench.renderer.go_on.set()
    others = [bench.submit(a_job(bench.tenant_id, prompt="hi")) for _ in range(8)]
    eventually(lambda: all(bench.view(other).is_terminal for other in others), within_s=10)
    assert [bench.view(other).state for other in others] == ["succeeded"] * 8
    assert state_of(bench.engine, id) is State.RUNNING  # as Postgres saw it all the time
    eventually(lambda: bench.server._engine.active == 0, within_s=3)


def test_a_cancelled_job_ends_with_the_beginning_of_its_text(bench: Bench) -> None:
    bench.handler.start(bench.server)
    id = bench.long_job()
    held = eventually(lambda: bench.held.get(id), within_s=10)
    eventually(lambda: held.completion_tokens > 2, within_s=10)
    bench.manager.cancel(bench.tenant_id, id)
    bench.handler.running.end(id, State.CANCELLED)
    eventually(lambda: bench.view(id).is_terminal, within_s=3)
    view = bench.view(id)
    assert view.state == "cancelled"
    assert view.text == "x" * (view.completion_tokens or 0)
    assert 2 < len(view.text) < 400


def test_a_claim_under_way_is_in_hand_when_claiming_has_stopped(bench: Bench) -> None:
    bench.handler.start(bench.server)
    for _ in range(10):
        bench.submit(a_job(bench.tenant_id, prompt="hi"))
    bench.handler.stop_claiming()
    running = set(bench.manager.held(bench.identity.worker_id or UUID(int=0)))
    in_hand = {held.job.id for held in bench.held.snapshot()}
    ended = {id for id in running if bench.view(id).is_terminal}
    assert running <= in_hand | ended
    assert bench.handler.run([]) == {}


def test_a_result_that_comes_too_late_is_discarded_and_counted(bench: Bench) -> None:
    bench.handler.start(bench.server)
    id = bench.submit(a_job(bench.tenant_id, prompt="abcdefgh"))
    eventually(lambda: bench.held.get(id), within_s=10)
    bench.handler.stop_claiming()
    taken = bench.manager.give_back(bench.identity.worker_id or UUID(int=0), [id])
    assert taken == [id]
    assert bench.manager.claim(a_worker(bench.engine), MODEL, VERSION, 1)
    eventually(lambda: bench.held.get(id) is None, within_s=10)
    assert bench.writer.stale_writes == 1
    assert row(bench.engine, id).attempt == 2
    assert state_of(bench.engine, id) is State.RUNNING
    assert history(bench.engine, id) == ["queued", "running", "queued", "running"]


def test_a_job_claimed_again_by_its_own_worker_runs_once_and_leaks_no_slot(bench: Bench) -> None:
    """A crash of Postgres may forget a claim that did not wait for the disk."""
    bench.handler.start(bench.server)
    id = bench.long_job()
    first = eventually(lambda: bench.held.get(id), within_s=10)
    forget = (
        "UPDATE jobs SET state = 'queued', attempt = 0, worker_id = NULL WHERE id = :id RETURNING 1"
    )
    rows(bench.engine, forget, id=id)
    again = eventually(
        lambda: held if (held := bench.held.get(id)) is not first else None, within_s=10
    )
    assert first.ended.is_set()
    assert again is not None
    eventually(lambda: again.completion_tokens > 2, within_s=10)
    assert bench.held.in_engine == 1
    assert state_of(bench.engine, id) is State.RUNNING
