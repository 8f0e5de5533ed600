"""/v1/jobs/{id}/attempts, /explain and /replay: what ran, what will, and running it again."""

from datetime import UTC, datetime

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api import auth, explanations, presentation
from api.admission import admit_replays
from api.explain_schemas import ExplainAnswer, ReplayAnswer
from api.job_lookup import found, in_ledger, job_id_of, selected, unknown
from api.queries import JobPath, ReplayRequest
from api.schemas import AttemptList, JobAnswer
from api.services import Services
from jobs import job_views
from jobs.errors import InvalidRequest
from jobs.keys import Scope


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("job_history", __name__, url_prefix="/v1/jobs",
                          abp_tags=[Tag(name="jobs")], abp_security=[{"key": []}])  # fmt: skip

    @routes.get(
        "/<job_id>/attempts", summary="What ran, where, and how it ended",
        responses={200: AttemptList},
    )  # fmt: skip
    def attempts(path: JobPath) -> Response:
        asking = auth.require(Scope.JOBS)
        view = in_ledger(services, asking.tenant_id, job_id_of(path.job_id))
        told = job_views.attempts(services.engine, view.id)
        return presentation.listing(presentation.attempt(shown) for shown in told)

    @routes.get(
        "/<job_id>/explain", summary="Where it stands, when it will run, and why not yet",
        responses={200: ExplainAnswer},
    )  # fmt: skip
    def explain(path: JobPath) -> Response:
        asking = auth.require(Scope.JOBS)
        id = job_id_of(path.job_id)
        told = explanations.explain(services.engine, asking.tenant_id, id, datetime.now(UTC))
        if told is None:
            raise unknown(path.job_id)
        return presentation.answer(told)

    @routes.post(
        "/<job_id>/replay", summary="Run a finished job's input again, as a new job",
        responses={202: JobAnswer},
    )  # fmt: skip
    def replay(path: JobPath) -> Response:
        asking = auth.require(Scope.JOBS)
        old = found(services, asking.tenant_id, job_id_of(path.job_id))
        admit_replays(services, asking, 1)
        id = services.task_manager.replay(
            asking.tenant_id, old.id, request.remote_addr or "", auth.actor()
        )
        if id is None:
            raise InvalidRequest(
                f"job {old.id} is {old.state}; only a finished job can be replayed"
            )
        services.hints.wake_dispatcher(id)
        view = found(services, asking.tenant_id, id)
        answer = presentation.answer(presentation.job(view), 202)
        answer.headers["Location"] = f"/v1/jobs/{id}"
        return answer

    @routes.post(
        "/replay", summary="Run the finished jobs that a filter means again, as new jobs",
        responses={200: ReplayAnswer},
    )  # fmt: skip
    def replay_many(body: ReplayRequest) -> Response:
        asking = auth.require(Scope.JOBS)
        if not body.model_dump(exclude={"limit", "dry_run"}, exclude_none=True):
            raise InvalidRequest("name at least one of status, task, model, error_code, "
                                 "ended_since, ended_until and worker")  # fmt: skip
        wanted, address = selected(body, body.limit), request.remote_addr or ""
        if asking.limited and not body.dry_run:
            would = services.task_manager.replay_many(asking.tenant_id, wanted, address, dry=True)
            admit_replays(services, asking, len(would))
        done = services.task_manager.replay_many(
            asking.tenant_id, wanted, address, dry=body.dry_run, by=auth.actor()
        )
        services.hints.wake_dispatcher()
        return presentation.answer(presentation.replay(done, body.limit, dry=body.dry_run))

    return routes
