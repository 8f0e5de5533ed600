"""Why a job did not succeed: a stable code, and a sentence for people."""

from jobs.errors import DeadlineExceeded
from jobs.job_views import JobView
from jobs.states import State

# Said to people whose job failed; the worker's own words stand beside it.
_DEFAULT_MESSAGE = {
    "expired_in_queue": "the job waited longer than its expires_after; it was not started",
    "deadline_exceeded": "the job's deadline passed before it had ended",
    "worker_lost": "the workers that ran this job lost their leases too often",
    "model_deleted": "the model version that this job was pinned to was deleted; submit it again "
    "for a version that is there (GET /v1/models)",
    "poisonous": "this job was alone in the engine each time its worker died; it is kept as a "
    "dead letter and not tried again (`lmaas dead show ID`)",
}


def error_code(view: JobView) -> str:
    """Why a job did not succeed, as a stable code."""
    if view.error_code is None and view.state == State.EXPIRED:
        return DeadlineExceeded.code  # while it ran
    return view.error_code or f"job_{view.state}"


def error_message(view: JobView) -> str:
    """The same in a sentence."""
    code = error_code(view)
    return view.error_message or _DEFAULT_MESSAGE.get(code, code)
