"""POST /v1/chat/completions and /v1/completions."""

from collections.abc import Iterator
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from api import auth, presentation
from api.job_story import Ended, JobStory, Restarted, Silence, Text, beginning
from api.openai import sse
from api.openai.answers import ChatCompletion, TextCompletion
from api.openai.refusals import of_ended, of_restart
from api.openai.work import Work
from api.schemas import ErrorAnswer
from api.services import Services
from jobs.job_views import JobView
from jobs.keys import Scope
from jobs.states import State
from routing.openai import submits
from routing.openai.completion_shapes import (
    ChatShape,
    Choice,
    Shape,
    TextShape,
    usage,
    whole,
)
from routing.openai.fields import CompletionBody
from routing.openai.requests import ChatRequest, CompletionRequest

ENDINGS: dict[str | int, Any] = dict.fromkeys(("409", "500", "504"), ErrorAnswer)


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds both to a blueprint."""

    @routes.post(
        "/chat/completions", summary="Answer a conversation (OpenAI)",
        responses={200: ChatCompletion, **ENDINGS},
    )  # fmt: skip
    def chat(body: ChatRequest) -> Response:
        work = Work(services, auth.require(Scope.JOBS), [submits.of_chat(body)],
                    submits.chat_names(body))  # fmt: skip
        return _serve(services, work, body, ChatShape())

    @routes.post(
        "/completions", summary="Continue one or several prompts (OpenAI)",
        responses={200: TextCompletion, **ENDINGS},
    )  # fmt: skip
    def complete(body: CompletionRequest) -> Response:
        asking = auth.require(Scope.JOBS)
        work = Work(services, asking, submits.of_completion(body), submits.COMPLETION_NAMES)
        echoed = [services.router.prompt_text(job) for job in work.jobs] if body.echo else ()
        return _serve(services, work, body, TextShape(echoed))


def _serve(services: Services, work: Work, body: CompletionBody, shape: Shape) -> Response:
    if body.stream:
        return work.stream(lambda views: _chunks(services, views, body, shape))
    views = work.ended()
    for view in views:
        if view.state != State.SUCCEEDED:
            raise of_ended(view)
    return presentation.answer(whole(shape, views, body.n or 1))


def _chunks(
    services: Services, views: list[JobView], body: CompletionBody, shape: Shape
) -> Iterator[str]:
    head = shape.head(views[0], chunk=True) | ({"usage": None} if body.include_usage else {})
    ended = []
    for prompt, view in enumerate(views):  # the text of those that run meanwhile waits in Redis
        story = JobStory(services.engine, services.streams, view.id, beginning(view))
        for told in _told(story, view, (prompt, body.n or 1), shape):
            if isinstance(told, JobView):
                ended.append(told)
            else:
                yield sse.SILENCE if told is None else sse.line(head | {"choices": [told]})
    if body.include_usage:
        yield sse.line(head | {"choices": [], "usage": usage(ended)})
    yield sse.DONE


def _told(
    story: JobStory, view: JobView, place: tuple[int, int], shape: Shape
) -> Iterator[Choice | JobView | None]:
    """The choices of one job's chunks, None where it is silent, and how it ended.
    `place` is the number of its prompt, and how many completions each prompt has."""
    prompt, each = place
    for number in range(each):
        if (opening := shape.opening(prompt * each + number, prompt)) is not None:
            yield opening
    for told in story.tell():
        match told:
            case Text(_, text, number, logprobs):
                yield shape.piece(prompt * each + number, text, logprobs)
            case Restarted():
                raise of_restart(view.id)
            case Silence():
                yield None
            case Ended(_, end):
                if end.state != State.SUCCEEDED:
                    raise of_ended(end)
                for number, written in enumerate(end.choices):
                    yield shape.closing(prompt * each + number, written)
                yield end
