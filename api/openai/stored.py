"""Responses that were stored, and the conversations that they hold."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

from api.job_lookup import erased
from api.openai.refusals import Refusal
from api.services import Services
from jobs import job_inputs, job_views
from jobs.errors import InvalidRequest, UnknownPreviousResponse, UnknownResponse
from jobs.job_views import JobView
from jobs.spec import MAX_MESSAGES, Submit
from jobs.states import State
from routing.openai.fields import UNSUPPORTED_VALUE
from routing.openai.response_requests import Includable
from routing.openai.response_shapes import Asked, is_stored
from routing.problems import Problem

Messages = list[dict[str, Any]]


def found(services: Services, tenant_id: UUID, text: str) -> tuple[JobView, Asked]:
    """A response that was stored, of this tenant. Raises `UnknownResponse` or `JobErased`."""
    view = _view(services, tenant_id, text)
    if view is not None and view.erased_at is not None:
        raise erased(view, view.erased_at)
    stored = _stored(services, view)
    if stored is None:
        raise UnknownResponse(f"there is no response {text[:64]!r}", param="response_id")
    return stored


def items(services: Services, view: JobView, asked: Asked) -> Messages:
    """All messages that a response answers, its instructions left out."""
    read = job_inputs.read(services.engine, view.tenant_id, view.id)
    messages: Messages = [] if read is None else read.input["messages"]
    return messages[1:] if asked["instructions"] is not None else messages


def continued(services: Services, tenant_id: UUID, text: str | None) -> Messages:
    """What was said up to the end of the response that a new one goes on from. Each
    job holds its whole conversation, so one look tells it all. Raises
    `UnknownPreviousResponse`, or `InvalidRequest` if it has no answer to go on from."""
    if text is None:
        return []
    stored = _stored(services, _view(services, tenant_id, text))
    before = None if stored is None else items(services, *stored)
    if stored is None or not before:
        raise UnknownPreviousResponse(
            f"there is no response {text[:64]!r}; send the conversation as `input`",
            param="previous_response_id",
        )
    view, _ = stored
    if view.state != State.SUCCEEDED or view.text is None:
        raise InvalidRequest(
            f"the response {text[:64]!r} has no answer to go on from; it is {view.state}",
            param="previous_response_id",
        )
    return [*before, {"role": "assistant", "content": view.text}]


def check_length(submit: Submit) -> None:
    """Raises `InvalidRequest` for a conversation that has become too long."""
    count = len(submit.input["messages"])
    if count > MAX_MESSAGES:
        raise InvalidRequest(
            f"the conversation has {count:,} messages, and {MAX_MESSAGES:,} are allowed; "
            "leave `previous_response_id` out and send its last ones as `input`",
            param="previous_response_id",
        )


def check_included(services: Services, view: JobView, included: Sequence[Includable]) -> None:
    """What can be included is there if the creation asked for it. Raises `Refusal` if
    it did not."""
    if not included:
        return
    read = job_inputs.read(services.engine, view.tenant_id, view.id)
    if read is not None and read.parameters.get("logprobs"):
        return
    message = ("include: the response has no logprobs; they can be had only if its creation "
               "asks for them, with the same `include`")  # fmt: skip
    raise Refusal(Problem(HTTPStatus.BAD_REQUEST, message, UNSUPPORTED_VALUE, "include"))


def _view(services: Services, tenant_id: UUID, text: str) -> JobView | None:
    prefix, _, number = text.partition("_")
    try:
        id = UUID(hex=number)
    except ValueError:
        return None
    return job_views.get(services.engine, tenant_id, id) if prefix == "resp" else None


def _stored(services: Services, view: JobView | None) -> tuple[JobView, Asked] | None:
    asked = None if view is None else job_views.asked(services.engine, view.id)
    return None if view is None or asked is None or not is_stored(asked) else (view, asked)
