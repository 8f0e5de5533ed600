"""/v1/models, /v1/workers, /v1/queues: what there is and what it does."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api import presentation
from api.queries import ModelPath
from api.schemas import ModelAnswer, ModelList, QueueList, WorkerList
from api.services import Services
from jobs import job_views, leases
from jobs.database import transact
from models_store import catalog


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("operations", __name__, url_prefix="/v1", abp_security=[{"key": []}],
                          abp_tags=[Tag(name="operations")])  # fmt: skip

    @routes.get("/models", summary="List model versions", responses={200: ModelList})
    def list_models() -> Response:
        workers = leases.live_workers(services.engine)
        versions = transact(services.engine, catalog.list_models)
        return presentation.listing(presentation.model(version, workers) for version in versions)

    @routes.get("/models/<model>", summary="Read a model version", responses={200: ModelAnswer})
    def read_model(path: ModelPath) -> Response:
        workers = leases.live_workers(services.engine)
        version = transact(services.engine, lambda c: catalog.resolve(c, path.model))
        return presentation.answer(presentation.model(version, workers))

    @routes.get("/workers", summary="List live workers", responses={200: WorkerList})
    def list_workers() -> Response:
        workers = leases.live_workers(services.engine)
        return presentation.listing(presentation.worker(live) for live in workers)

    @routes.get("/queues", summary="List unfinished work", responses={200: QueueList})
    def list_queues() -> Response:
        depths = job_views.queue_depths(services.engine)
        return presentation.listing(presentation.queue(depth) for depth in depths)

    return routes
