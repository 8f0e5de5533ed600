"""/v1/jobs: submit, read, wait, list, cancel."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api import auth, errors, job_requests, presentation
from api.admission import admit
from api.explanations import check_deadline
from api.job_lookup import found, job_id_of, page_of
from api.queries import JobListQuery, JobPath, JobQuery
from api.schemas import ErrorAnswer, JobAnswer, JobDeleted, JobList
from api.services import Services
from jobs import job_views
from jobs.envelopes import Accepted, Idempotency, NewJob
from jobs.errors import LmaasError
from jobs.failpoints import reach
from jobs.job_views import JobView
from jobs.keys import Scope
from jobs.outlook import predictions
from jobs.outlook.facts import Outlook
from jobs.spec import OnUnmeetable, Submit
from routing.request_router import BadInput

LONGEST_WAIT_S = 60.0


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("jobs", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")],
                          abp_security=[{"key": []}])  # fmt: skip

    @routes.post("", summary="Submit a job", responses={200: JobAnswer, 202: JobAnswer})
    def submit(body: Submit) -> Response:
        return _submitted(services, body)

    @routes.get(
        "/<job_id>",
        summary="Read a job, or wait for its end",
        responses={200: JobAnswer, 410: ErrorAnswer},
    )
    def read(path: JobPath, query: JobQuery) -> Response:
        asking = auth.require(Scope.JOBS)
        view = _read(services, asking.tenant_id, path.job_id, query.wait)
        return presentation.answer(presentation.job(view))

    @routes.get("", summary="List jobs, newest first", responses={200: JobList})
    def list_jobs(query: JobListQuery) -> Response:
        asking = auth.require(Scope.JOBS)
        views = job_views.list_jobs(services.engine, asking.tenant_id, page_of(query))
        full = len(views) == query.limit
        return presentation.listing(
            (presentation.job(view) for view in views),
            next_cursor=str(views[-1].id) if full else None,
        )

    @routes.post("/<job_id>/cancel", summary="Cancel a job", responses={200: JobAnswer})
    def cancel(path: JobPath) -> Response:
        asking = auth.require(Scope.JOBS)
        job_requests.cancel(services, asking.tenant_id, job_id_of(path.job_id))
        view = _read(services, asking.tenant_id, path.job_id, 0)
        return presentation.answer(presentation.job(view))

    @routes.delete(
        "/<job_id>", summary="Erase a finished job's input and result",
        responses={200: JobDeleted, 409: ErrorAnswer, 410: ErrorAnswer},
    )  # fmt: skip
    def delete_job(path: JobPath) -> Response:
        asking = auth.require(Scope.JOBS)
        view = found(services, asking.tenant_id, job_id_of(path.job_id))
        job_requests.erase(services, view)
        return presentation.answer({"id": str(view.id), "object": "job", "deleted": True})

    return routes


def _submitted(services: Services, body: Submit) -> Response:
    asking = auth.require(Scope.JOBS)
    key = job_requests.idempotency(request.get_data())
    wait_s = _preferred_wait_s()
    try:
        new = services.router.route(body, asking, request.remote_addr or "")
        admit(services, asking, [new])
        foretold = _foretell(services, body, new)
    except BadInput as bad:
        return errors.of_validation(bad.error, ("input",))
    except LmaasError:
        # What was accepted stays accepted, whatever would be said of it now.
        known = job_requests.recalled(services, asking, key)
        if known is None:
            raise
        return _told(_read(services, asking.tenant_id, str(known), wait_s))
    accepted, ended = _enqueued(services, new, key, foretold, wait_s)
    if accepted.submitted_at is None:  # it came before
        return _told(_read(services, asking.tenant_id, str(accepted.id), wait_s))
    return _told(ended or _fresh(new, accepted))


def _enqueued(
    services: Services,
    new: NewJob,
    key: Idempotency | None,
    foretold: Outlook | None,
    wait_s: float,
) -> tuple[Accepted, JobView | None]:
    """Submits; a new job also as it ended, if it did within the waiting time."""
    if not wait_s:
        return _accepted(services, new, key, foretold), None
    with services.notifier.waiter(new.id) as waiter:
        accepted = _accepted(services, new, key, foretold)
        fresh = accepted.submitted_at is not None
        return accepted, waiter.wait(wait_s) if waiter and fresh else None


def _accepted(
    services: Services, new: NewJob, key: Idempotency | None, foretold: Outlook | None
) -> Accepted:
    reach("web.submitting")
    accepted = services.task_manager.submit(new, key)
    reach("web.submitted")
    services.hints.wake_dispatcher(accepted.id)
    if accepted.submitted_at is not None and foretold is not None:
        predictions.record(services.engine, new.id, "submit", foretold)
    return accepted


def _told(view: JobView) -> Response:
    answer = presentation.answer(presentation.job(view), 200 if view.is_terminal else 202)
    answer.headers["Location"] = f"/v1/jobs/{view.id}"
    return answer


def _foretell(services: Services, body: Submit, new: NewJob) -> Outlook | None:
    """Checks a deadline that the client wants checked. Raises `DeadlineUnmeetable`."""
    if body.on_unmeetable is not OnUnmeetable.REFUSE or new.times.deadline is None:
        return None
    return check_deadline(services.engine, new, datetime.now(UTC))


def _read(services: Services, tenant_id: UUID, job_id: str, wait_s: float) -> JobView:
    """The job now, or as it ended within the waiting time. With too many
    polls waiting it is the job now: the client asks again."""
    id = job_id_of(job_id)
    if not wait_s:
        return found(services, tenant_id, id)
    with services.notifier.waiter(id) as waiter:
        view = found(services, tenant_id, id)
        if view.is_terminal or waiter is None:
            return view
        ended = waiter.wait(wait_s)
    return ended or found(services, tenant_id, id)


def _preferred_wait_s() -> float:
    """Seconds of `Prefer: wait=N` (RFC 7240); a preference that cannot be
    understood is ignored, as the RFC wants it."""
    for preference in request.headers.get("Prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name.strip().lower() == "wait" and value.strip().isdecimal():
            return min(float(value), LONGEST_WAIT_S)
    return 0.0


def _fresh(new: NewJob, accepted: Accepted) -> JobView:
    """The job as it was accepted just now, without reading it again."""
    unset: dict[str, Any] = dict.fromkeys(
        ("completion_tokens", "finish_reason", "error_code", "started_at", "first_token_at",
         "finished_at", "text", "error_message")
    )  # fmt: skip
    return JobView(
        id=new.id,
        tenant_id=new.tenant_id,
        task=new.task,
        model=new.model,
        version=new.version,
        state="queued",
        priority=new.priority.value,
        attempt=0,
        cancel_requested=False,
        prompt_tokens=new.prompt_tokens,
        submitted_at=accepted.submitted_at or datetime.now(UTC),
        run_at=new.times.run_at,
        expires_at=accepted.expires_at,
        deadline=new.times.deadline,
        replay_of=None,
        batch_id=None,
        labels=new.labels,
        **unset,
    )
