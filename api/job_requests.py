"""What every route that makes or ends jobs does alike."""

import hashlib
from uuid import UUID

from flask import request

from api.services import Services
from jobs.content_errors import JobNotEnded
from jobs.envelopes import Idempotency
from jobs.errors import InvalidRequest
from jobs.job_views import JobView
from jobs.keys import Principal

_LONGEST_KEY = 255


def idempotency(body: bytes) -> Idempotency | None:
    """The request's `Idempotency-Key`, bound to what was asked for with it."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise InvalidRequest(
            f"Idempotency-Key takes 1 to {_LONGEST_KEY} printable characters",
            param="Idempotency-Key",
        )
    return Idempotency(key, hashlib.sha256(body).digest())


def recalled(services: Services, asking: Principal, key: Idempotency | None) -> UUID | None:
    """The job that this key of the asking tenant made, if it came before. Raises
    `IdempotencyConflict` if that was with another body."""
    return None if key is None else services.task_manager.recall(asking.tenant_id, key)


def cancel(services: Services, tenant_id: UUID, job_id: UUID) -> None:
    """Asks for the end of a job of this tenant, and tells whom it concerns."""
    done = services.task_manager.cancel(tenant_id, job_id)
    if done == "cancel_requested":
        services.hints.tell_cancelled(job_id)
    elif done is not None:
        services.hints.tell_finished([job_id])


def erase(services: Services, view: JobView) -> None:
    """Erases a job's content, and what may be left of its stream. Raises `JobNotEnded`."""
    if not view.is_terminal:
        raise JobNotEnded(
            f"job {view.id} is {view.state}; cancel it first (POST /v1/jobs/{view.id}/cancel), "
            "and delete it when it has ended"
        )
    services.task_manager.erase(view.tenant_id, view.id)
    services.hints.forget_tokens(view.id)
