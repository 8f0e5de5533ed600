"""A poll is woken by half-second looks even while hints for others keep coming."""

import threading
from uuid import UUID

from sqlalchemy import Engine

from api.waiting import Notifier
from bells.hints import Hints
from jobs.ids import new_id
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from tests.integration.job_samples import a_tenant, submitted


def test_hints_for_other_jobs_do_not_put_off_an_end_without_a_hint(
    engine: Engine, settings: Settings
) -> None:
    manager, tenant_id = TaskManager(engine), a_tenant(engine)
    noisy, quiet = submitted(manager, tenant_id, 2)
    notifier = Notifier(engine, settings, lambda _: None)
    notifier.start()
    stop = threading.Event()
    thread = threading.Thread(target=_ring, args=(Hints(settings), noisy, stop))
    thread.start()
    try:
        with notifier.waiter(noisy), notifier.waiter(quiet) as waiter:
            assert waiter is not None
            manager.cancel(tenant_id, quiet)
            view = waiter.wait(5)
        assert view is not None
        assert view.state == "cancelled"
    finally:
        stop.set()
        thread.join()
        notifier.stop()


def _ring(hints: Hints, id: UUID, stop: threading.Event) -> None:
    while not stop.wait(0.1):
        hints.tell_finished([id, new_id()])
