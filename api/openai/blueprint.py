"""All routes of OpenAI's API, as one blueprint."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api.openai import (
    batch_line_routes,
    batch_reading,
    batch_verbs,
    batches,
    completions,
    embeddings,
    files,
    response_items,
    responses,
    uploads,
)
from api.openai.refusals import Refusal
from api.services import Services

NAME = "openai"


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint(NAME, __name__, url_prefix="/v1", abp_tags=[Tag(name=NAME)],
                          abp_security=[{"key": []}])  # fmt: skip
    routes.register_error_handler(Refusal, _refuse)
    completions.add_routes(routes, services)
    embeddings.add_routes(routes, services)
    responses.add_routes(routes, services)
    response_items.add_routes(routes, services)
    batches.add_routes(routes, services)
    batch_verbs.add_routes(routes, services)
    batch_line_routes.add_routes(routes, services)
    batch_reading.add_routes(routes, services)
    files.add_routes(routes, services)
    uploads.add_routes(routes, services)
    return routes


def _refuse(refusal: Refusal) -> Response:
    return refusal.response()
