"""/v1/keys: a tenant's API keys, for keys with the scope `admin`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import Field

from api import auth, presentation
from api.queries import KeyPath
from api.schemas import KeyAnswer, KeyList
from api.services import Services
from jobs import keys
from jobs.errors import Forbidden, InvalidRequest, UnknownKey
from jobs.keys import Principal, Scope
from jobs.moments import Moment
from jobs.spec import ShortText, Strict

# In UTC it may be a day later, and dates end with the year 9999.
_LAST_YEAR = 9998


class NewKey(Strict):
    """A key to be made. Without `expires_at` it works until it is revoked."""

    name: ShortText
    scopes: Annotated[
        list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=8)
    ] = Field(default=[Scope.JOBS, Scope.MODELS_READ])
    expires_at: Moment | None = None


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("keys", __name__, url_prefix="/v1/keys", abp_tags=[Tag(name="keys")],
                          abp_security=[{"key": []}])  # fmt: skip

    @routes.post("", summary="Make an API key; it is shown once", responses={201: KeyAnswer})
    def create(body: NewKey) -> Response:
        asking = auth.require(Scope.ADMIN)
        _must_be_ahead(body.expires_at)
        _must_be_its_own(asking, body.scopes)
        made, secret = keys.create(
            services.engine, asking.tenant_id, body.name, body.scopes, body.expires_at,
            auth.actor(),
        )  # fmt: skip
        return presentation.answer(presentation.key(made, secret), 201)

    @routes.get("", summary="List API keys", responses={200: KeyList})
    def list_keys() -> Response:
        asking = auth.require(Scope.ADMIN)
        found = keys.list_keys(services.engine, asking.tenant_id)
        return presentation.listing(presentation.key(shown) for shown in found)

    @routes.delete("/<key_id>", summary="Revoke an API key", responses={200: KeyAnswer})
    def revoke(path: KeyPath) -> Response:
        asking = auth.require(Scope.ADMIN)
        try:
            id = UUID(path.key_id)
        except ValueError:
            raise UnknownKey(f"there is no API key {path.key_id[:64]!r}") from None
        revoked = keys.revoke(services.engine, asking.tenant_id, id, auth.actor())
        return presentation.answer(presentation.key(revoked))

    return routes


def _must_be_its_own(asking: Principal, scopes: Sequence[Scope]) -> None:
    for scope in scopes:
        if not asking.may(scope):
            raise Forbidden(
                f"this API key does not carry the scope {scope.value!r} and cannot give it away; "
                "whoever runs the installation can: `python -m api.tenants keys`",
                param="scopes",
            )


def _must_be_ahead(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= datetime.now(expires_at.tzinfo):
        raise InvalidRequest("expires_at lies in the past", param="expires_at")
    if expires_at is not None and expires_at.year > _LAST_YEAR:
        raise InvalidRequest(f"expires_at lies after {_LAST_YEAR}", param="expires_at")
