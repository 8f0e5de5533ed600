"""POST /v1/embeddings."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from api import auth, presentation
from api.openai.answers import EmbeddingList
from api.openai.completions import ENDINGS
from api.openai.refusals import of_ended
from api.openai.work import Work
from api.services import Services
from jobs.keys import Scope
from jobs.states import State
from routing.openai import embedding_shapes, submits
from routing.openai.embedding_requests import EmbeddingRequest


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds it to a blueprint."""

    @routes.post(
        "/embeddings", summary="Make vectors of texts (OpenAI)",
        responses={200: EmbeddingList, **ENDINGS},
    )  # fmt: skip
    def embed(body: EmbeddingRequest) -> Response:
        work = Work(services, auth.require(Scope.JOBS), [submits.of_embedding(body)],
                    submits.embedding_names(body))  # fmt: skip
        [view] = work.ended()
        if view.state != State.SUCCEEDED:
            raise of_ended(view)
        return presentation.answer(embedding_shapes.of_view(view, body.encoding_format))
