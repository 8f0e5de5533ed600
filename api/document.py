"""The OpenAPI document: what routes say of themselves, and what all of them answer."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask_openapi3.openapi import OpenAPI

from api.schemas import ErrorAnswer
from routing.problems import STATUS

# What a route with a key may answer; it names what else there is by itself.
_ERRORS = sorted({*STATUS.values(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


class DocumentedApp(OpenAPI):
    """Writes the errors into every operation: the framework has them in those of the
    application alone, not in its blueprints', and makes a list of a 422."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself. Nothing here is a coroutine, and Flask would ask that of
        eight functions with each request."""
        return func

    def generate_spec_json(self) -> None:
        """Writes `spec_json`."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        for path in self.spec_json["paths"].values():
            for operation in path.values():
                if operation.get("security"):
                    operation["responses"] = _with_errors(operation["responses"])


def _with_errors(told: dict[str, Any]) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}
    content = {"application/json": {"schema": reference}}
    errors = {
        str(status.value): {"description": status.phrase, "content": content} for status in _ERRORS
    }
    own = {status: answer for status, answer in told.items() if status != "422"}
    return dict(sorted((errors | own).items()))
