"""Forms in the OpenAPI document whose routes read the body by themselves, as it comes."""

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.request_body import RequestBody
from flask_openapi3.utils import parse_form
from pydantic import BaseModel


def document_form(routes: APIBlueprint, uri: str, form: type[BaseModel]) -> None:
    """Tells what the POST of a route takes; `uri` is the one of the document."""
    content, schemas = parse_form(form)
    routes.paths[uri].post.requestBody = RequestBody(content=content, required=True)
    routes.components_schemas.update(schemas)
