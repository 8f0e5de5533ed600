"""/v1/models, /v1/workers, /v1/queues, /v1/components: what there is and what it
does; and the pause of a model version."""

from typing import Annotated

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, Field

from api import auth, operation_presentation, presentation
from api.operation_schemas import ComponentList, ModelAnswer, ModelList, QueueList, WorkerList
from api.queries import ModelPath
from api.services import Services
from jobs import job_views, leases, pauses
from jobs.database import transact
from jobs.fields import Strict, storable
from jobs.keys import Scope
from jobs.outlook import components, crash_loops
from models_store import catalog
from models_store.catalog import ModelVersion


class PauseRequest(Strict):
    """Why a model version is paused; the whole body may be missing."""

    # Bounded before it is checked: a bound around `Text` would speak of items.
    reason: Annotated[str, Field(max_length=500), AfterValidator(storable)] = ""


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("operations", __name__, url_prefix="/v1", abp_security=[{"key": []}],
                          abp_tags=[Tag(name="operations")])  # fmt: skip

    @routes.get("/models", summary="List model versions", responses={200: ModelList})
    def list_models() -> Response:
        auth.require(Scope.MODELS_READ)
        state = _state(services)
        versions = transact(services.engine, catalog.list_models)
        return presentation.listing(
            operation_presentation.model(version, state) for version in versions
        )

    @routes.post(
        "/models/<reference>/pause", responses={200: ModelAnswer},
        summary='Start no job of a model version; the body may be {"reason": "..."}',
    )  # fmt: skip
    def pause(path: ModelPath) -> Response:
        auth.require(Scope.MODELS_WRITE)
        why = PauseRequest.model_validate_json(request.get_data() or b"{}")
        version = _resolve(services, path.reference)
        pauses.pause(services.engine, version.name, version.version, why.reason, auth.actor())
        return presentation.answer(operation_presentation.model(version, _state(services)))

    @routes.post(
        "/models/<reference>/resume", summary="Start jobs of a paused model version again",
        responses={200: ModelAnswer},
    )  # fmt: skip
    def resume(path: ModelPath) -> Response:
        auth.require(Scope.MODELS_WRITE)
        version = _resolve(services, path.reference)
        pauses.resume(services.engine, version.name, version.version, auth.actor())
        services.hints.wake_dispatcher()
        return presentation.answer(operation_presentation.model(version, _state(services)))

    # Clients ask for any name they know; one with a slash is not found like any other.
    @routes.get(
        "/models/<path:reference>", summary="Read a model version", responses={200: ModelAnswer}
    )
    def read_model(path: ModelPath) -> Response:
        auth.require(Scope.MODELS_READ)
        version = _resolve(services, path.reference)
        return presentation.answer(operation_presentation.model(version, _state(services)))

    @routes.get("/workers", summary="List live workers", responses={200: WorkerList})
    def list_workers() -> Response:
        workers = leases.live_workers(services.engine)
        return presentation.listing(operation_presentation.worker(live) for live in workers)

    @routes.get("/queues", summary="List unfinished work", responses={200: QueueList})
    def list_queues() -> Response:
        depths, paused = job_views.queue_depths(services.engine), pauses.paused(services.engine)
        return presentation.listing(operation_presentation.queue(depth, paused) for depth in depths)

    @routes.get(
        "/components", summary="List the parts that hold no lease, and when they were seen",
        responses={200: ComponentList},
    )  # fmt: skip
    def list_components() -> Response:
        found = components.read(services.engine)
        return presentation.listing(operation_presentation.component(part) for part in found)

    return routes


def _state(services: Services) -> operation_presentation.ModelState:
    engine = services.engine
    return operation_presentation.ModelState(
        leases.live_workers(engine), pauses.paused(engine), crash_loops.read_all(engine)
    )


def _resolve(services: Services, reference: str) -> ModelVersion:
    """Raises `UnknownModel`."""
    return transact(services.engine, lambda connection: catalog.resolve(connection, reference))
