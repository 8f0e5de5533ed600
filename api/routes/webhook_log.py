"""/v1/webhooks/.../deliveries: what receivers were told, tests and replays; for keys with
the scope `admin`. Nothing is sent from here: the housekeeper sends."""

from typing import Literal
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import Field

from api import auth, presentation
from api.queries import Parameters
from api.services import Services
from api.webhook_presentation import delivery
from api.webhook_schemas import DeliveryAnswer, DeliveryList, DeliveryReplayAnswer
from jobs.fields import Strict
from jobs.keys import Scope
from jobs.moments import Moment
from jobs.webhooks import log
from jobs.webhooks.errors import UnknownDelivery, UnknownWebhook
from jobs.webhooks.events import TEST_EVENT
from jobs.webhooks.log import DeliveryFilter, Period

Status = Literal["pending", "delivered", "failed"]


class WebhookPath(Parameters):
    """The id of a webhook."""

    webhook_id: str


class DeliveryPath(WebhookPath):
    """The id of one of its deliveries."""

    delivery_id: str


class DeliveryQuery(Parameters):
    """Which deliveries to list, and which page."""

    status: Status | None = None
    limit: int = Field(default=20, ge=1, le=100)
    cursor: UUID | None = Field(default=None, description="`next_cursor` of a page")


class SubjectQuery(DeliveryQuery):
    """The same, of all receivers."""

    subject: str = Field(
        min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$",
        description="the id of a job, response or batch",
    )  # fmt: skip


class DeliveryReplay(Strict):
    """Which deliveries to make again: those made in a time, and, unless `status` is
    null, only those that ended like that."""

    since: Moment
    until: Moment | None = None
    status: Literal["delivered", "failed"] | None = "failed"


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("webhook_log", __name__, url_prefix="/v1/webhooks",
                          abp_tags=[Tag(name="webhooks")], abp_security=[{"key": []}])  # fmt: skip
    engine = services.engine

    def page(
        tenant_id: UUID, endpoint_id: UUID | None, query: DeliveryQuery, subject: str | None = None
    ) -> Response:
        wanted = DeliveryFilter(
            endpoint_id=endpoint_id,
            subject=subject,
            state=query.status,
            before=query.cursor,
            limit=query.limit,
        )
        found = log.deliveries(engine, tenant_id, wanted)
        full = len(found) == query.limit
        return presentation.listing(
            map(delivery, found), next_cursor=str(found[-1].id) if full else None
        )

    @routes.post(
        "/<webhook_id>/test", summary="Send it an event of the type webhook.test",
        responses={202: DeliveryAnswer},
    )  # fmt: skip
    def test(path: WebhookPath) -> Response:
        tenant_id = asking()
        services.webhooks.get(tenant_id, id_of(path))
        made = log.add_test(engine, tenant_id, id_of(path), TEST_EVENT)
        if made is None:
            raise _unknown(path.webhook_id)
        [shown] = log.deliveries(engine, tenant_id, DeliveryFilter(id=made))
        return presentation.answer(delivery(shown), 202)

    @routes.get(
        "/deliveries", responses={200: DeliveryList},
        summary="What was told of a job, response or batch, newest first",
    )  # fmt: skip
    def list_about(query: SubjectQuery) -> Response:
        return page(asking(), None, query, query.subject)

    @routes.get(
        "/<webhook_id>/deliveries", summary="What a receiver was told, newest first",
        responses={200: DeliveryList},
    )  # fmt: skip
    def list_deliveries(path: WebhookPath, query: DeliveryQuery) -> Response:
        tenant_id = asking()
        services.webhooks.get(tenant_id, id_of(path))
        return page(tenant_id, id_of(path), query)

    @routes.post(
        "/<webhook_id>/deliveries/<delivery_id>/replay", summary="Tell an event again, by its id",
        responses={200: DeliveryAnswer},
    )  # fmt: skip
    def replay(path: DeliveryPath) -> Response:
        tenant_id = asking()
        services.webhooks.get(tenant_id, id_of(path))
        try:
            id = UUID(path.delivery_id)
        except ValueError:
            raise UnknownDelivery(f"there is no delivery {path.delivery_id[:64]!r}") from None
        return presentation.answer(delivery(log.replay(engine, tenant_id, id_of(path), id)))

    @routes.post(
        "/<webhook_id>/deliveries/replay", summary="Tell the events of a time again",
        responses={200: DeliveryReplayAnswer},
    )  # fmt: skip
    def replay_many(path: WebhookPath, body: DeliveryReplay) -> Response:
        tenant_id = asking()
        services.webhooks.get(tenant_id, id_of(path))
        period = Period(body.since, body.until)
        count = log.replay_many(engine, tenant_id, id_of(path), period, body.status)
        more = count == log.MOST_REPLAYED
        told = {"object": "webhook.replay", "replayed": count, "more": more}
        return presentation.answer(told)

    return routes


def asking() -> UUID:
    """The tenant that asks. Raises `Forbidden`."""
    return auth.require(Scope.ADMIN).tenant_id


def id_of(path: WebhookPath) -> UUID:
    """The webhook in a path. What is no id is no webhook either."""
    try:
        return UUID(path.webhook_id)
    except ValueError:
        raise _unknown(path.webhook_id) from None


def _unknown(text: str) -> UnknownWebhook:
    return UnknownWebhook(f"there is no webhook {text[:64]!r}; GET /v1/webhooks lists yours")
