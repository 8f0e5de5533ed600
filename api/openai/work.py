"""From one request of these routes to durable jobs, and on to their ends."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from socket import socket
from typing import Any
from uuid import UUID

from flask import Response, request

from api import job_requests
from api.admission import admit
from api.openai import sse
from api.openai.refusals import ClientLeft, of_wait
from api.services import Services
from api.waiting import Waiter
from jobs import job_views
from jobs.connection_errors import ServerStopping
from jobs.envelopes import Idempotency
from jobs.errors import DatabaseUnavailable, TooManyWaiters
from jobs.job_views import JobView
from jobs.keys import Principal
from jobs.spec import Submit
from jobs.tenant_errors import RateLimitExceeded
from routing.openai.problems import named
from routing.request_router import BadInput

# As long as OpenAI's clients wait by default.
LONGEST_WAIT_S = 600.0

log = logging.getLogger(__name__)


class Work:
    """The jobs of one request. Nothing is submitted before `ended`, `stream` or
    `started` is called; these raise `TooManyWaiters` when nobody could wait."""

    def __init__(
        self,
        services: Services,
        asking: Principal,
        submits: Sequence[Submit],
        names: dict[str, str],
        asked: dict[str, Any] | None = None,
    ) -> None:
        self._services = services
        self._asking = asking
        # The same body means something else on another route.
        self._key = job_requests.idempotency(request.path.encode() + b"\n" + request.get_data())
        self._told_all = False
        address = request.remote_addr or ""
        try:
            with named(names):
                routed = [services.router.route(one, asking, address) for one in submits]
        except BadInput as bad:
            raise bad.error from bad
        self.jobs = [replace(job, asked=asked) for job in routed]

    def ended(self) -> list[JobView]:
        """Submits, waits, and returns the jobs as they ended. Raises `Refusal`
        when one does not end in time; then all go on. A client that goes away
        cancels them, unless an Idempotency-Key says that it may come back."""
        fresh = [job.id for job in self.jobs]
        connection = request.environ.get("gunicorn.socket") if self._key is None else None
        with self._admitted(fresh, connection) as waiters:
            ids = self._submit()
            if ids == fresh:
                try:
                    return _all(waiters)
                except ClientLeft:
                    self._abandon(ids)
                    raise
                except ServerStopping:
                    self._stop(ids)
                    raise
        with self._admitted(ids) as waiters:  # their Idempotency-Key is known
            for id, view in job_views.get_many(self._services.engine, ids).items():
                for waiter in waiters:
                    if waiter.job_id == id and view.is_terminal:
                        waiter.end(view)
            return _all(waiters)

    def started(self) -> JobView:
        """Submits, and returns the only job as it stands."""
        [id] = self._submit()
        return job_views.get_many(self._services.engine, [id])[id]

    def stream(
        self,
        lines: Callable[[list[JobView]], Iterator[str]],
        *,
        outlives_reader: bool = False,
        error_event: str | None = None,
    ) -> Response:
        """Submits, and streams what `lines` makes of the jobs. A reader that goes
        away cancels them, unless an Idempotency-Key says that it may come back."""
        with ExitStack() as held:
            held.enter_context(self._admitted([job.id for job in self.jobs]))
            ids = self._submit()
            if not outlives_reader and self._key is None:
                held.callback(self._abandon, ids)
            views = job_views.get_many(self._services.engine, ids)
            told = lines([views[id] for id in ids])
            if not outlives_reader:
                told = self._unless_stopped(told, ids)
            told = sse.until_an_error(told, error_event)
            return sse.respond(self._to_the_end(told), held.pop_all())

    def _unless_stopped(self, lines: Iterator[str], ids: list[UUID]) -> Iterator[str]:
        try:
            yield from lines
        except ServerStopping as error:
            self._stop(ids)
            raise stopping() from error

    def _stop(self, ids: list[UUID]) -> None:
        """The client asks again, of itself or because it is told to: the work is not done
        twice. With a key it finds the same jobs."""
        if self._key is None:
            self._abandon(ids)

    def _to_the_end(self, lines: Iterator[str]) -> Iterator[str]:
        yield from lines
        self._told_all = True

    def _abandon(self, ids: list[UUID]) -> None:
        if self._told_all:
            return
        try:
            for id in ids:
                job_requests.cancel(self._services, self._asking.tenant_id, id)
        except DatabaseUnavailable as error:
            log.warning("jobs whose reader went away run on: %s", error.message)

    def _submit(self) -> list[UUID]:
        try:
            admit(self._services, self._asking, self.jobs)
        except RateLimitExceeded:
            if job_requests.recalled(self._services, self._asking, self._key) is None:
                raise
        ids = []
        for number, job in enumerate(self.jobs):
            accepted = self._services.task_manager.submit(job, _nth(self._key, number))
            self._services.hints.wake_dispatcher(accepted.id)
            ids.append(accepted.id)
        return ids

    @contextmanager
    def _admitted(
        self, ids: list[UUID], connection: socket | None = None
    ) -> Iterator[list[Waiter]]:
        with self._services.notifier.waiters(ids, connection) as waiters:
            if waiters is None:
                raise stopping() if self._services.notifier.closing else too_many()
            yield waiters


def too_many() -> TooManyWaiters:
    """The error of a request for which no place to wait is left."""
    return TooManyWaiters(
        "too many requests wait for their jobs; try again, or submit to /v1/jobs "
        "and ask for the result later"
    )


def stopping() -> ServerStopping:
    """The error of a request that waits for its jobs while its web process ends."""
    return ServerStopping(
        "the web server stops and answers before the jobs have ended; without an "
        "Idempotency-Key they are cancelled: send the request again"
    )


def _nth(key: Idempotency | None, number: int) -> Idempotency | None:
    """A key for each job of a request: clients' keys have no U+001F."""
    return key and (key if number == 0 else replace(key, key=f"{key.key}\x1f{number}"))


def _all(waiters: Sequence[Waiter]) -> list[JobView]:
    deadline = time.monotonic() + LONGEST_WAIT_S
    views = []
    for waiter in waiters:
        view = waiter.wait(max(0.0, deadline - time.monotonic()))
        if waiter.left:
            raise ClientLeft
        if view is None and waiter.let_go:
            raise stopping()
        if view is None:
            raise of_wait(waiter.job_id)
        views.append(view)
    return views
