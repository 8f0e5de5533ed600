"""/v1/webhooks: receivers of events and their secrets, for keys with the scope `admin`."""

from typing import Annotated

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, Field, WithJsonSchema

from api import auth, presentation
from api.routes.webhook_log import WebhookPath, asking, id_of
from api.services import Services
from api.webhook_presentation import signing_secret, webhook
from api.webhook_schemas import (
    SigningSecretAnswer,
    WebhookAnswer,
    WebhookList,
)
from jobs.fields import Strict, storable
from jobs.webhooks.events import EVENTS, LONGEST_URL
from jobs.webhooks.urls import Rules, check


def _known(event: str) -> str:
    if event not in EVENTS:
        raise ValueError(f"there is no such event; there are {', '.join(EVENTS)}")
    return event


Event = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(EVENTS)})
]


class NewWebhook(Strict):
    """A receiver to be added; without `events` it is told of all of them."""

    url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
    events: Annotated[list[Event], Field(min_length=1, max_length=len(EVENTS))] = Field(
        default=list(EVENTS)
    )
    description: Annotated[str, Field(max_length=256), AfterValidator(storable)] = ""


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("webhooks", __name__, url_prefix="/v1/webhooks",
                          abp_tags=[Tag(name="webhooks")], abp_security=[{"key": []}])  # fmt: skip
    _add_endpoints(routes, services)

    @routes.get(
        "/signing-secret", responses={200: SigningSecretAnswer},
        summary="What signs the webhooks of single jobs; made when it is first asked for",
    )  # fmt: skip
    def read_signing_secret() -> Response:
        found = services.webhooks.signing_secret(asking())
        return presentation.answer(signing_secret(found))

    @routes.post(
        "/signing-secret/rotate", summary="A new one; for a day both sign",
        responses={200: SigningSecretAnswer},
    )  # fmt: skip
    def rotate_signing_secret() -> Response:
        made = services.webhooks.rotate_signing_secret(asking(), auth.actor())
        return presentation.answer(signing_secret(made))

    return routes


def _add_endpoints(routes: APIBlueprint, services: Services) -> None:
    endpoints = services.webhooks

    @routes.post(
        "", summary="Add a receiver; its secret is shown once", responses={201: WebhookAnswer}
    )
    def create(body: NewWebhook) -> Response:
        tenant_id = asking()
        check(body.url, Rules.of(services.settings))
        events = [event for event in EVENTS if event in body.events]
        made, secret = endpoints.create(tenant_id, body.url, events, body.description, auth.actor())
        return presentation.answer(webhook(made, secret), 201)

    @routes.get("", summary="List receivers", responses={200: WebhookList})
    def list_webhooks() -> Response:
        return presentation.listing(webhook(one) for one in endpoints.all(asking()))

    @routes.get("/<webhook_id>", summary="Read a receiver", responses={200: WebhookAnswer})
    def read(path: WebhookPath) -> Response:
        return presentation.answer(webhook(endpoints.get(asking(), id_of(path))))

    @routes.delete("/<webhook_id>", summary="Remove a receiver", responses={200: WebhookAnswer})
    def delete(path: WebhookPath) -> Response:
        return presentation.answer(webhook(endpoints.delete(asking(), id_of(path), auth.actor())))

    @routes.post(
        "/<webhook_id>/rotate", summary="A new secret, shown once; for a day both sign",
        responses={200: WebhookAnswer},
    )  # fmt: skip
    def rotate(path: WebhookPath) -> Response:
        return presentation.answer(webhook(*endpoints.rotate(asking(), id_of(path), auth.actor())))

    @routes.post(
        "/<webhook_id>/enable", summary="Send to a disabled receiver again",
        responses={200: WebhookAnswer},
    )  # fmt: skip
    def enable(path: WebhookPath) -> Response:
        return presentation.answer(webhook(endpoints.enable(asking(), id_of(path), auth.actor())))
