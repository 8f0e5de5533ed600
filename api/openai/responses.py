"""/v1/responses: create, read, follow, cancel, delete."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from werkzeug.exceptions import NotFound

from api import auth, job_requests, presentation
from api.openai import sse
from api.openai.answers import ResponseDeleted, ResponseObject
from api.openai.completions import ENDINGS
from api.openai.refusals import of_ended
from api.openai.response_events import ResponseStory
from api.openai.response_items import ResponsePath
from api.openai.stored import check_included, check_length, continued, found
from api.openai.work import Work, too_many
from api.queries import Parameters
from api.services import Services
from jobs.job_views import JobView
from jobs.keys import Scope
from jobs.states import State
from routing.openai import submits
from routing.openai.response_requests import Includable, ResponseRequest
from routing.openai.response_shapes import asked, response

# A worker obeys a cancel at its next step.
_CANCEL_S = 5.0


_Included = Annotated[list[Includable], Field(max_length=8)]


class ResponseQuery(Parameters):
    """Whether to read a response as events, and from where on."""

    stream: bool = False
    starting_after: int | None = Field(
        default=None, ge=0, le=2**53, description="the last `sequence_number` that was seen"
    )
    include_obfuscation: Literal["false"] | None = None
    include: _Included = Field(default=[])
    # As OpenAI's clients write a list.
    includes: _Included = Field(default=[], alias="include[]")

    @model_validator(mode="after")
    def _events_need_a_stream(self) -> "ResponseQuery":
        if self.starting_after is not None and not self.stream:
            raise PydanticCustomError(
                "value_error",
                "only allowed together with `stream=true`",
                {"param": "starting_after"},
            )
        return self


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds them to a blueprint."""
    _add_unserved(routes)

    @routes.post(
        "/responses", summary="Respond to a text or a conversation (OpenAI)",
        responses={200: ResponseObject, **ENDINGS},
    )  # fmt: skip
    def create(body: ResponseRequest) -> Response:
        asking, kept = auth.require(Scope.JOBS), asked(body)
        before = continued(services, asking.tenant_id, body.previous_response_id)
        submit = submits.of_response(body, before)
        check_length(submit)
        work = Work(services, asking, [submit], submits.RESPONSE_NAMES, kept)
        if body.stream:
            return work.stream(
                lambda views: ResponseStory(services, views[0], kept, -1).tell(),
                outlives_reader=bool(body.background),
                error_event="error",
            )
        if body.background:
            return presentation.answer(response(work.started(), kept))
        [view] = work.ended()
        if view.state != State.SUCCEEDED:
            raise of_ended(view)
        return presentation.answer(response(view, kept))

    @routes.get(
        "/responses/<response_id>", summary="Read a response, or follow it as events (OpenAI)",
        responses={200: ResponseObject},
    )  # fmt: skip
    def read(path: ResponsePath, query: ResponseQuery) -> Response:
        tenant_id = auth.require(Scope.JOBS).tenant_id
        view, kept = found(services, tenant_id, path.response_id)
        check_included(services, view, [*query.include, *query.includes])
        if not query.stream:
            return presentation.answer(response(view, kept))
        after = -1 if query.starting_after is None else query.starting_after
        return _follow(services, view, ResponseStory(services, view, kept, after).tell())

    @routes.post(
        "/responses/<response_id>/cancel", summary="Cancel a response (OpenAI)",
        responses={200: ResponseObject},
    )  # fmt: skip
    def cancel(path: ResponsePath) -> Response:
        tenant_id = auth.require(Scope.JOBS).tenant_id
        view, kept = found(services, tenant_id, path.response_id)
        with services.notifier.waiter(view.id) as waiter:
            job_requests.cancel(services, tenant_id, view.id)
            view, _ = found(services, tenant_id, path.response_id)
            if waiter is not None and not view.is_terminal:
                view = waiter.wait(_CANCEL_S) or view
        return presentation.answer(response(view, kept))

    @routes.delete(
        "/responses/<response_id>", summary="Erase a response (OpenAI)",
        responses={200: ResponseDeleted},
    )  # fmt: skip
    def delete_response(path: ResponsePath) -> Response:
        view, _ = found(services, auth.require(Scope.JOBS).tenant_id, path.response_id)
        job_requests.erase(services, view)
        gone = {"id": path.response_id, "object": "response", "deleted": True}
        return presentation.answer(gone)


def _add_unserved(routes: APIBlueprint) -> None:
    """Routes that OpenAI has and these do not: by their form they would be ids, and 405."""

    @routes.post("/responses/<any(compact, input_tokens):name>", doc_ui=False)
    def unserved(**_: str) -> Response:
        raise NotFound


def _follow(services: Services, view: JobView, lines: Iterator[str]) -> Response:
    with ExitStack() as held:
        if held.enter_context(services.notifier.waiter(view.id)) is None:
            raise too_many()
        return sse.respond(sse.until_an_error(lines, "error"), held.pop_all())
