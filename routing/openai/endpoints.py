"""What a line of a batch may ask for: the routes of OpenAI's API that make one job.

Each reads a body as the route does and makes the body that the route would answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from jobs.job_views import JobView
from jobs.spec import Submit
from routing.openai import embedding_shapes, submits
from routing.openai.completion_shapes import ChatShape, TextShape, whole
from routing.openai.embedding_requests import EmbeddingRequest
from routing.openai.fields import UNSUPPORTED_PARAMETER, UNSUPPORTED_VALUE
from routing.openai.requests import ChatRequest, CompletionRequest
from routing.openai.response_requests import ResponseRequest
from routing.openai.response_shapes import asked, response
from routing.problems import Problem

Asked = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A body that was understood: its job, the names of its fields in this route
    (`routing.openai.problems.named`), and what its answer repeats."""

    submit: Submit
    names: Mapping[str, str]
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`read` raises pydantic's `ValidationError`, or `NotInABatch`. `answer` takes the
    succeeded job, what was kept of the request, and its prompt if it is repeated."""

    read: Callable[[bytes], Wanted]
    answer: Callable[[JobView, Asked | None, str | None], dict[str, Any]]


class NotInABatch(Exception):
    """The front door takes this body, a line of a batch cannot."""

    def __init__(self, message: str, code: str, param: str) -> None:
        super().__init__(message)
        self.problem = Problem(HTTPStatus.BAD_REQUEST, f"{param}: {message}", code, param)


def _no_stream(stream: bool | None) -> None:
    if stream:
        raise NotInABatch(
            "nobody reads a stream of a batch; leave it out", UNSUPPORTED_PARAMETER, "stream"
        )


def _chat(body: bytes) -> Wanted:
    asks = ChatRequest.model_validate_json(body)
    _no_stream(asks.stream)
    return Wanted(submits.of_chat(asks), submits.chat_names(asks))


def _chat_answer(view: JobView, _: Asked | None, __: str | None) -> dict[str, Any]:
    return whole(ChatShape(), [view])


def _completion(body: bytes) -> Wanted:
    asks = CompletionRequest.model_validate_json(body)
    _no_stream(asks.stream)
    found = submits.of_completion(asks)
    if len(found) > 1:
        raise NotInABatch(
            "a line of a batch takes one prompt; give each prompt a line of its own",
            UNSUPPORTED_VALUE,
            "prompt",
        )
    kept = {"route": "completions", "store": False, "echo": True} if asks.echo else None
    return Wanted(found[0], submits.COMPLETION_NAMES, kept)


def _completion_answer(view: JobView, _: Asked | None, echoed: str | None) -> dict[str, Any]:
    return whole(TextShape(() if echoed is None else (echoed,)), [view])


def _response(body: bytes) -> Wanted:
    asks = ResponseRequest.model_validate_json(body)
    _no_stream(asks.stream)
    if asks.previous_response_id is not None:
        raise NotInABatch(
            "a line of a batch goes on from no response; send the conversation as `input`",
            UNSUPPORTED_PARAMETER,
            "previous_response_id",
        )
    return Wanted(submits.of_response(asks), submits.RESPONSE_NAMES, asked(asks))


def _response_answer(view: JobView, kept: Asked | None, _: str | None) -> dict[str, Any]:
    return response(view, kept or {})


def _embedding(body: bytes) -> Wanted:
    asks = EmbeddingRequest.model_validate_json(body)
    kept = {"route": "embeddings", "store": False, "encoding_format": asks.encoding_format}
    return Wanted(submits.of_embedding(asks), submits.embedding_names(asks), kept)


def _embedding_answer(view: JobView, kept: Asked | None, _: str | None) -> dict[str, Any]:
    return embedding_shapes.of_view(view, (kept or {}).get("encoding_format", "float"))


ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": Endpoint(_chat, _chat_answer),
    "/v1/completions": Endpoint(_completion, _completion_answer),
    "/v1/responses": Endpoint(_response, _response_answer),
    "/v1/embeddings": Endpoint(_embedding, _embedding_answer),
}
