"""/v1/batches: create, read, list, cancel. The work is the housekeeper's."""

from uuid import UUID

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic import Field

from api import auth, job_requests, presentation
from api.openai.batch_answers import BatchAnswer, BatchList
from api.openai.batch_lookup import found
from api.openai.batch_shapes import batch
from api.queries import Parameters
from api.services import Services
from files_store import catalog
from files_store.stored_file import Purpose, StoredFile, file_id
from jobs.batches import lifecycle, views
from jobs.batches.envelopes import NewBatch
from jobs.batches.limits import MOST_BYTES
from jobs.batches.names import batch_id
from jobs.errors import InvalidRequest, LmaasError
from jobs.ids import new_id
from jobs.keys import Scope
from routing.openai.batch_requests import BatchRequest, window_s
from routing.openai.problems import named


class BatchPath(Parameters):
    """The id of a batch."""

    batch_id: str


class BatchListQuery(Parameters):
    """Which page of the batches."""

    after: str | None = Field(default=None, max_length=64, description="the last id of a page")
    limit: int = Field(default=20, ge=1, le=100)


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds them to a blueprint."""

    @routes.post(
        "/batches", summary="Run the requests of a file (OpenAI)", responses={200: BatchAnswer}
    )
    def create_batch(body: BatchRequest) -> Response:
        asking = auth.require(Scope.BATCHES)
        key = job_requests.idempotency(request.path.encode() + b"\n" + request.get_data())
        known = key and services.task_manager.recall(asking.tenant_id, key)
        id = known or lifecycle.create(services.engine, _new(services, asking.tenant_id, body), key)
        return presentation.answer(batch(found(services.engine, asking.tenant_id, id)))

    @routes.get("/batches/<batch_id>", summary="Read a batch (OpenAI)",
                responses={200: BatchAnswer})  # fmt: skip
    def read_batch(path: BatchPath) -> Response:
        asking = auth.require(Scope.BATCHES)
        view = found(services.engine, asking.tenant_id, batch_id(path.batch_id))
        return presentation.answer(batch(view))

    @routes.get("/batches", summary="List batches, newest first (OpenAI)",
                responses={200: BatchList})  # fmt: skip
    def list_batches(query: BatchListQuery) -> Response:
        asking = auth.require(Scope.BATCHES)
        with named({"batch_id": "after"}):
            found = views.list_batches(
                services.engine,
                asking.tenant_id,
                after=None if query.after is None else batch_id(query.after),
                limit=query.limit + 1,
            )
        shown = [batch(view) for view in found[: query.limit]]
        return presentation.listing(
            shown,
            first_id=shown[0]["id"] if shown else None,
            last_id=shown[-1]["id"] if shown else None,
            has_more=len(found) > query.limit,
        )

    @routes.post("/batches/<batch_id>/cancel", summary="Cancel a batch (OpenAI)",
                 responses={200: BatchAnswer})  # fmt: skip
    def cancel_batch(path: BatchPath) -> Response:
        asking = auth.require(Scope.BATCHES)
        id = batch_id(path.batch_id)
        lifecycle.cancel(services.engine, asking.tenant_id, id)
        return presentation.answer(batch(found(services.engine, asking.tenant_id, id)))


def _new(services: Services, tenant_id: UUID, body: BatchRequest) -> NewBatch:
    """The batch that a body means."""
    file = None if body.input_file_id is None else _file(services, tenant_id, body.input_file_id)
    expires = body.output_expires_after
    return NewBatch(
        id=new_id(),
        tenant_id=tenant_id,
        endpoint=body.endpoint,
        input_file_id=None if file is None else file.id,
        window=body.completion_window,
        window_s=window_s(body.completion_window),
        client_address=request.remote_addr or "",
        priority=body.priority,
        labels=body.metadata or {},
        output_expires_after_s=None if expires is None else expires.seconds,
        open=body.open,
        dedupe=body.dedupe,
        dry_run=body.dry_run,
    )


def _file(services: Services, tenant_id: UUID, name: str) -> StoredFile:
    """The input of a batch. Raises `UnknownFile`, `FileGone` or `InvalidRequest` for a
    file that is none for batches."""
    try:
        file = catalog.get(services.engine, tenant_id, file_id(name))
    except LmaasError as error:
        error.param = "input_file_id"
        raise
    if file.purpose != Purpose.BATCH:
        raise InvalidRequest(
            f"the file was uploaded with the purpose {file.purpose!r}; it takes 'batch'",
            param="input_file_id",
        )
    if file.size_bytes > MOST_BYTES:
        raise InvalidRequest(
            f"the file has more than {MOST_BYTES:,} bytes; make several batches of it",
            param="input_file_id",
        )
    return file
