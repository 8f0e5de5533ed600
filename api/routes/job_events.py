"""/v1/jobs/{id}/events: a job as server-sent events, with resume."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api import auth, presentation
from api.job_lookup import found, job_id_of
from api.job_story import Ended, Happened, JobStory, Place, Restarted, Silence, Text, Told
from api.moments import moment
from api.queries import JobPath
from api.services import Services
from jobs.connection_errors import ServerStopping
from jobs.errors import InvalidRequest
from jobs.job_views import JobView
from jobs.json_lines import json_line
from jobs.keys import Scope

STREAM = "text/event-stream"
_UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("events", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")],
                          abp_security=[{"key": []}])  # fmt: skip

    @routes.get(
        "/<job_id>/events",
        summary="Follow a job: its states, its text while it grows, its end",
        responses={200: {"content": {STREAM: {"schema": {"type": "string"}}}}},
    )
    def events(path: JobPath) -> Response:
        asking = auth.require(Scope.JOBS)
        view = found(services, asking.tenant_id, job_id_of(path.job_id))
        return Response(_lines(services, view, _start()), mimetype=STREAM, headers=_UNBUFFERED)

    return routes


def _start() -> Place:
    text = request.headers.get("Last-Event-ID", "")
    try:
        return Place.parse(text) if text else Place()
    except ValueError:
        raise InvalidRequest(
            f"{text[:64]!r} is no id of an event of this stream", param="Last-Event-ID"
        ) from None


def _lines(services: Services, view: JobView, start: Place) -> Iterator[str]:
    with services.notifier.waiter(view.id) as place:
        if place is None:  # too many follow already: where it stands, and the client asks again
            yield _event("job", start, presentation.job(view))
            return
        story = JobStory(services.engine, services.streams, view.id, start)
        with suppress(ServerStopping):  # the client comes back with its place
            for told in story.tell():
                if not isinstance(told, Text) or told.text:  # logprobs are told with the end
                    yield _line(told)


def _line(told: Told) -> str:
    match told:
        case Happened(place, event):
            return _event("state", place, {
                "status": event.kind, "attempt": event.attempt, "reason": event.reason,
                "at": moment(event.at),
            })  # fmt: skip
        case Text(place, text, choice):
            data = {"attempt": place.attempt, "choice": choice, "text": text}
            return _event("text", place, data)
        case Restarted(place):
            return _event("restarted", place, {"attempt": place.attempt})
        case Ended(place, view):
            return _event("end", place, presentation.job(view))
        case Silence():
            return ": nothing new\n\n"


def _event(name: str, place: Place, data: dict[str, Any]) -> str:
    return f"id: {place}\nevent: {name}\ndata: {json_line(data).decode()}\n\n"
