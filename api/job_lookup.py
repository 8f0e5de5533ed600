"""From the text in a path to a job of the tenant that asks."""

from datetime import datetime
from uuid import UUID

from api.moments import moment
from api.queries import JobListQuery, JobSelection
from api.services import Services
from jobs import job_views
from jobs.batches.names import batch_id
from jobs.content_errors import JobErased
from jobs.errors import InvalidRequest, UnknownJob
from jobs.job_views import JobFilter, JobView
from jobs.moments import maybe_in_utc


def found(services: Services, tenant_id: UUID, id: UUID) -> JobView:
    """The job now. Raises `UnknownJob` and `JobErased`."""
    view = in_ledger(services, tenant_id, id)
    if view.erased_at is not None:
        raise erased(view, view.erased_at)
    return view


def in_ledger(services: Services, tenant_id: UUID, id: UUID) -> JobView:
    """The same, and an erased job too, without its content. Raises `UnknownJob`, for
    somebody else's as for a missing one."""
    view = job_views.get(services.engine, tenant_id, id)
    if view is None:
        raise unknown(str(id))
    return view


def erased(view: JobView, at: datetime) -> JobErased:
    """The error that says so, and what the ledger still knows."""
    return JobErased(
        f"the content of job {view.id} was erased; GET /v1/jobs lists what is known of it",
        param="job_id",
        fields={"job_id": str(view.id), "status": view.state, "erased_at": moment(at)},
    )


def job_id_of(text: str) -> UUID:
    """The id in a path. What is no id is no job either."""
    try:
        return UUID(text)
    except ValueError:
        raise unknown(text) from None


def unknown(text: str) -> UnknownJob:
    """The error that says so."""
    return UnknownJob(f"there is no job {text[:64]!r}; GET /v1/jobs lists yours", param="job_id")


def page_of(query: JobListQuery) -> JobFilter:
    """A page of a list. Raises `InvalidRequest` for what is no model or cursor."""
    try:
        before = UUID(query.cursor) if query.cursor else None
    except ValueError:
        raise InvalidRequest(f"{query.cursor!r} is no cursor of a list", param="cursor") from None
    return selected(query, query.limit, before)


def selected(query: JobSelection, limit: int, before: UUID | None = None) -> JobFilter:
    """The jobs that are meant. Raises `InvalidRequest` for what is no model, and
    for a moment outside the calendar."""
    name, _, number = (query.model or "").partition("@")
    if (number and not number.isdecimal()) or (query.model and not name):
        raise InvalidRequest(f"{query.model!r} is no name or name@version", param="model")
    return JobFilter(
        state=query.status.value if query.status else None,
        task=query.task,
        model=name or None,
        version=min(int(number), 2**31 - 1) if number else None,
        error_code=query.error_code,
        ended_since=maybe_in_utc(query.ended_since, "ended_since"),
        ended_until=maybe_in_utc(query.ended_until, "ended_until"),
        worker=query.worker,
        batch=batch_id(query.batch) if query.batch else None,
        before=before,
        limit=limit,
    )
