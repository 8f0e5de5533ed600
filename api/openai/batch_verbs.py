"""What an owner does to a batch while it runs; beyond OpenAI's API."""

from uuid import UUID

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from api import auth, job_requests, presentation
from api.openai.batch_answers import BatchAnswer
from api.openai.batch_lookup import found
from api.openai.batch_shapes import batch
from api.queries import Parameters
from api.schemas import ErrorAnswer
from api.services import Services
from jobs.batch_errors import BatchStateConflict
from jobs.batches import lifecycle, retries, steering
from jobs.batches.envelopes import NewBatch
from jobs.batches.names import batch_id
from jobs.batches.views import BatchView
from jobs.ids import new_id
from jobs.keys import Scope
from jobs.states import Priority
from routing.openai.batch_requests import BatchChange, RetryRequest, window_s


class BatchIdPath(Parameters):
    """The id of a batch."""

    batch_id: str


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds them to a blueprint."""
    engine = services.engine

    def answer(tenant_id: UUID, path: BatchIdPath, verb: str, *, done: bool) -> Response:
        view = found(engine, tenant_id, batch_id(path.batch_id))
        if not done:
            raise _impossible(view, verb)
        # The first piece, and of a small batch all, at once; the housekeeper does the rest.
        services.task_manager.settle_lines(view.id)
        return presentation.answer(batch(view))

    @routes.post("/batches/<batch_id>/pause", summary="Let no other line of a batch begin",
                 responses={200: BatchAnswer, 409: ErrorAnswer})  # fmt: skip
    def pause_batch(path: BatchIdPath) -> Response:
        tenant_id = auth.require(Scope.BATCHES).tenant_id
        done = steering.pause(engine, tenant_id, batch_id(path.batch_id), paused=True)
        return answer(tenant_id, path, "paused", done=done)

    @routes.post("/batches/<batch_id>/resume", summary="Let the lines of a batch begin again",
                 responses={200: BatchAnswer, 409: ErrorAnswer})  # fmt: skip
    def resume_batch(path: BatchIdPath) -> Response:
        tenant_id = auth.require(Scope.BATCHES).tenant_id
        done = steering.pause(engine, tenant_id, batch_id(path.batch_id), paused=False)
        return answer(tenant_id, path, "resumed", done=done)

    @routes.post("/batches/<batch_id>", summary="Move the waiting lines to another class",
                 responses={200: BatchAnswer, 409: ErrorAnswer})  # fmt: skip
    def change_batch(path: BatchIdPath, body: BatchChange) -> Response:
        tenant_id = auth.require(Scope.BATCHES).tenant_id
        priority = Priority(body.priority)
        done = steering.prioritize(engine, tenant_id, batch_id(path.batch_id), priority)
        return answer(tenant_id, path, "moved to another class", done=done)

    @routes.post("/batches/<batch_id>/close", summary="End the input of an open batch",
                 responses={200: BatchAnswer, 409: ErrorAnswer})  # fmt: skip
    def close_batch(path: BatchIdPath) -> Response:
        tenant_id = auth.require(Scope.BATCHES).tenant_id
        id = batch_id(path.batch_id)
        done = steering.close(engine, tenant_id, id)
        # Closing again changes nothing, and is what a client does that got no answer.
        again = not done and _was_open(found(engine, tenant_id, id))
        return answer(tenant_id, path, "closed", done=done or again)

    @routes.post("/batches/<batch_id>/retry",
                 summary="Run the lines that failed or expired again, as a new batch",
                 responses={200: BatchAnswer, 409: ErrorAnswer})  # fmt: skip
    def retry_batch(path: BatchIdPath, body: RetryRequest) -> Response:
        tenant_id = auth.require(Scope.BATCHES).tenant_id
        key = job_requests.idempotency(request.path.encode() + b"\n" + request.get_data())
        known = None if key is None else services.task_manager.recall(tenant_id, key)
        if known is None:
            first = found(engine, tenant_id, batch_id(path.batch_id))
            known = lifecycle.create(engine, _retry(services, first, body), key)
        return presentation.answer(batch(found(engine, tenant_id, known)))


def _retry(services: Services, first: BatchView, body: RetryRequest) -> NewBatch:
    if not first.is_terminal or first.dry_run:
        raise BatchStateConflict(
            f"the batch is {first.status}: its lines are run again once it is over; "
            "cancel it, or wait"
        )
    if not retries.any_line(services.engine, first.id, body.codes):
        raise _nothing_again(services, first, body)
    window = body.completion_window or first.window
    return NewBatch(
        id=new_id(),
        tenant_id=first.tenant_id,
        endpoint=first.endpoint,
        input_file_id=None,
        window=window,
        window_s=window_s(window),
        client_address=request.remote_addr or "",
        priority=Priority(first.priority),
        labels=first.labels,
        dedupe=first.dedupe,
        retry_of=first.id,
        overrides={"body": body.body or {}, "codes": body.codes},
    )


def _nothing_again(services: Services, first: BatchView, body: RetryRequest) -> BatchStateConflict:
    if body.codes is not None:
        return BatchStateConflict("no line of the batch ended with one of these `codes`: "
                                  "there is nothing to run again")  # fmt: skip
    if retries.any_line(services.engine, first.id, [retries.CANCELLED]):
        return BatchStateConflict(
            "no line of the batch was refused, failed or expired; its cancelled lines are "
            f'run again if `codes` names them: ["{retries.CANCELLED}"]'
        )
    return BatchStateConflict(
        "no line with a `custom_id` of its own was refused, failed or expired: "
        "there is nothing to run again"
    )


def _was_open(view: BatchView) -> bool:
    return not view.open and not view.is_terminal and not view.dry_run


def _impossible(view: BatchView, verb: str) -> BatchStateConflict:
    if view.dry_run:
        return BatchStateConflict(f"the batch is a dry run: no line of it runs or can be {verb}")
    return BatchStateConflict(
        f"the batch is {view.status}: it cannot be {verb} any more; "
        "what it has done stands in its results"
    )
