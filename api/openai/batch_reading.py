"""/v1/batches/{id}/results and /events: a batch while it runs."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic import Field

from api import auth, presentation
from api.batch_hub import Watcher
from api.openai.batch_answers import LineList
from api.openai.batch_lookup import found
from api.openai.batch_shapes import batch
from api.queries import Parameters
from api.services import Services
from jobs.batches.endings import Ending, Place
from jobs.batches.names import batch_id
from jobs.batches.output_rows import OutputRow, Which, rows
from jobs.batches.views import BatchView
from jobs.errors import InvalidRequest, TooManyWaiters
from jobs.json_lines import json_line
from jobs.keys import Scope
from routing.openai.batch_outputs import output_line

_STREAM = "text/event-stream"
_UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_KEEP_ALIVE_S = 5.0


class LivePath(Parameters):
    """The id of a batch."""

    batch_id: str


class ResultsQuery(Parameters):
    """Which lines."""

    after: int = Field(default=0, ge=0, le=2**31 - 1, description="the last line that was read")
    limit: int = Field(default=500, ge=1, le=1_000)


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds them to a blueprint."""

    @routes.get(
        "/batches/<batch_id>/results",
        summary="The lines that have ended, in order, up to the first that has not",
        responses={200: LineList},
    )
    def batch_results(path: LivePath, query: ResultsQuery) -> Response:
        asking = auth.require(Scope.BATCHES)
        # Read first: once it is over, no line can end behind this look.
        view = found(services.engine, asking.tenant_id, batch_id(path.batch_id))
        pages = rows(
            services.engine, view.id, Which.ENDED, after=query.after, most_lines=query.limit
        )
        shown = [_line(view, row) for row in next(pages, [])]
        return presentation.listing(
            shown, has_more=bool(shown), done=view.is_terminal and not shown
        )

    @routes.get(
        "/batches/<batch_id>/events",
        summary="Follow a batch: its lines as they end, its progress, its end",
        responses={200: {"content": {_STREAM: {"schema": {"type": "string"}}}}},
    )
    def batch_events(path: LivePath) -> Response:
        asking = auth.require(Scope.BATCHES)
        view = found(services.engine, asking.tenant_id, batch_id(path.batch_id))
        start = _start()
        with ExitStack() as held:
            if held.enter_context(services.notifier.waiters([])) is None:
                raise TooManyWaiters("too many streams and polls are open here; try again soon")
            watcher = held.enter_context(services.batches.watch(asking.tenant_id, view.id, start))
            response = Response(
                _told(services, watcher, view, start), mimetype=_STREAM, headers=_UNBUFFERED
            )
            response.call_on_close(held.pop_all().close)
        return response


def _line(view: BatchView, row: OutputRow) -> dict[str, Any]:
    status = "refused" if row.view is None else row.view.state
    made = output_line(view.id, view.endpoint, row)
    return {"line": row.line, "status": status, **made}


def _start() -> Place:
    text = request.headers.get("Last-Event-ID", "")
    try:
        return Place.parse(text) if text else Place()
    except ValueError:
        raise InvalidRequest(
            f"{text[:64]!r} is no id of an event of this stream", param="Last-Event-ID"
        ) from None


def _told(services: Services, watcher: Watcher, view: BatchView, place: Place) -> Iterator[str]:
    yield _event("progress", place, _progress(view))
    while not services.batches.closing:  # then the client comes back with its place
        lines, now, over = services.batches.take(watcher, _KEEP_ALIVE_S)
        for ending in lines:
            place = ending.place
            yield _event("line", place, _ended(ending))
        view = now or view
        if over:
            yield _event("end", place, _progress(view))
            return
        if now is not None:
            yield _event("progress", place, _progress(view))
        elif not lines:
            yield ": nothing new\n\n"


def _ended(ending: Ending) -> dict[str, Any]:
    return {
        "line": ending.place.line,
        "custom_id": ending.custom_id,
        "status": ending.state,
    }


def _progress(view: BatchView) -> dict[str, Any]:
    shown = batch(view)
    return {name: shown[name] for name in ("id", "status", "paused", "request_counts")}


def _event(name: str, place: Place, data: dict[str, Any]) -> str:
    return f"id: {place}\nevent: {name}\ndata: {json_line(data).decode()}\n\n"
