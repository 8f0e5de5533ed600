"""GET /v1/responses/{id}/input_items: what a response was asked."""

from typing import Any, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import Field

from api import auth, presentation
from api.openai.answers import InputItems
from api.openai.stored import found, items
from api.queries import Parameters
from api.services import Services
from jobs.errors import InvalidRequest
from jobs.keys import Scope
from routing.openai.response_shapes import part


class ResponsePath(Parameters):
    """The id of a response."""

    response_id: str


class ItemsQuery(Parameters):
    """Which items, and in which order."""

    limit: int = Field(default=20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = Field(default=None, max_length=128, description="an item's id")


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds it to a blueprint."""

    @routes.get(
        "/responses/<response_id>/input_items", responses={200: InputItems},
        summary="List what a response was asked, earlier responses' part too (OpenAI)",
    )  # fmt: skip
    def input_items(path: ResponsePath, query: ItemsQuery) -> Response:
        tenant_id = auth.require(Scope.JOBS).tenant_id
        view, asked = found(services, tenant_id, path.response_id)
        messages = items(services, view, asked)
        shown = [_item(f"msg_{view.id.hex}_{n}", said) for n, said in enumerate(messages)]
        page, more = _page(shown, query)
        return presentation.listing(
            page,
            first_id=page[0]["id"] if page else None,
            last_id=page[-1]["id"] if page else None,
            has_more=more,
        )


def _page(shown: list[dict[str, Any]], query: ItemsQuery) -> tuple[list[dict[str, Any]], bool]:
    if query.order == "desc":
        shown.reverse()
    if query.after is not None:
        places = [n for n, item in enumerate(shown) if item["id"] == query.after]
        if not places:
            raise InvalidRequest(f"{query.after!r} is no item of this response", param="after")
        shown = shown[places[0] + 1 :]
    return shown[: query.limit], len(shown) > query.limit


def _item(id: str, said: dict[str, str]) -> dict[str, Any]:
    role, text = said["role"], said["content"]
    content = part(text) if role == "assistant" else {"type": "input_text", "text": text}
    return {"id": id, "type": "message", "role": role, "status": "completed", "content": [content]}
