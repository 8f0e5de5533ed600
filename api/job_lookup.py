"""From the text in a path to a job of the tenant that asks."""

from uuid import UUID

from api.services import Services
from jobs import job_views
from jobs.errors import UnknownJob
from jobs.job_views import JobView


def found(services: Services, tenant_id: UUID, id: UUID) -> JobView:
    """The job now. Raises `UnknownJob`, for somebody else's as for a missing one."""
    view = job_views.get(services.engine, tenant_id, id)
    if view is None:
        raise unknown(str(id))
    return view


def job_id_of(text: str) -> UUID:
    """The id in a path. What is no id is no job either."""
    try:
        return UUID(text)
    except ValueError:
        raise unknown(text) from None


def unknown(text: str) -> UnknownJob:
    """The error that says so."""
    return UnknownJob(f"there is no job {text[:64]!r}; GET /v1/jobs lists yours", param="job_id")
