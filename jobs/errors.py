"""One tree for every error a person or a program can meet.

Each class has a stable `code` that clients may switch on. The docstring's
first line says what it means; the message of an instance says what was wrong,
where, and what to do. HTTP status numbers live in `routing/problems.py` alone.
Errors of files and of erased content stand in `jobs/content_errors.py`, those of tenants
and their limits in `jobs/tenant_errors.py`.
"""

from datetime import datetime
from typing import ClassVar


class LmaasError(Exception):
    """Something that LMaaS has a name for went wrong."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequest(LmaasError):
    """The request cannot be understood or is out of bounds."""

    code = "invalid_request"


class InvalidJson(InvalidRequest):
    """The body is not JSON."""

    code = "invalid_json"


class InvalidText(InvalidRequest):
    """A text holds characters that no model and no database can hold."""

    code = "invalid_text"


class PromptTooLong(InvalidRequest):
    """Prompt and requested completion do not fit the model's context."""

    code = "context_length_exceeded"


class UnsupportedParameter(InvalidRequest):
    """The model's engine cannot do what a parameter asks for."""

    code = "unsupported_parameter"


class UnknownTask(InvalidRequest):
    """No such task type."""

    code = "task_not_found"


class UnknownModel(LmaasError):
    """No such model, version or alias in the Model Store."""

    code = "model_not_found"


class UnknownJob(LmaasError):
    """No such job for this tenant."""

    code = "job_not_found"


class UnknownResponse(LmaasError):
    """No such response of /v1/responses for this tenant."""

    code = "response_not_found"


class UnknownPreviousResponse(InvalidRequest):
    """No such response of /v1/responses to go on from, for this tenant."""

    code = "previous_response_not_found"


class UnknownBatch(LmaasError):
    """No such batch for this tenant."""

    code = "batch_not_found"


class UnknownKey(LmaasError):
    """No such API key for this tenant."""

    code = "key_not_found"


class Unauthenticated(LmaasError):
    """The API key is missing, unknown, expired or revoked."""

    code = "invalid_api_key"


class Forbidden(LmaasError):
    """The API key does not carry the scope that this needs."""

    code = "insufficient_scope"


class IdempotencyConflict(InvalidRequest):
    """The idempotency key was used before with another body."""

    code = "idempotency_key_reused"


class DatabaseUnavailable(LmaasError):
    """Postgres does not answer; a 202 was not given."""

    code = "database_unavailable"
    retryable = True


class TooManyWaiters(LmaasError):
    """So many requests wait for their jobs that no more are taken; nothing was submitted."""

    code = "too_many_waiters"
    retryable = True


class ModelRefused(LmaasError):
    """A model's files failed a check of the Model Store."""

    code = "model_refused"


class ModelInUse(LmaasError):
    """A model version cannot be deleted: a name or jobs need it."""

    code = "model_in_use"


class ModelDeleted(LmaasError):
    """The model version that a waiting job was pinned to was deleted."""

    code = "model_deleted"


class ModelCorrupt(LmaasError):
    """A model's files are not the ones that were imported."""

    code = "model_corrupt"


class UnsupportedModel(ModelRefused):
    """The model's architecture has no engine here."""

    code = "model_unsupported"


class EngineFailed(LmaasError):
    """The engine broke while the job was in it."""

    code = "engine_failed"
    retryable = True


class FormNotFollowed(LmaasError):
    """The completion could not be given the form that `response_format` asks for."""

    code = "response_format_failed"


class WorkerLost(LmaasError):
    """The job's workers lost their leases too often."""

    code = "worker_lost"


class Poisonous(LmaasError):
    """The job was alone in the engine each time its worker died."""

    code = "poisonous"


class DeadlineExceeded(LmaasError):
    """The job's deadline passed before it had ended."""

    code = "deadline_exceeded"


class DeadlineUnmeetable(LmaasError):
    """The job would end after its deadline, and its client wants to know before."""

    code = "deadline_unmeetable"

    def __init__(
        self, message: str, *, param: str | None = None, earliest_finish: datetime | None = None
    ) -> None:
        super().__init__(message, param=param)
        self.earliest_finish = earliest_finish


class ExpiredInQueue(LmaasError):
    """The job waited longer than its `expires_after`."""

    code = "expired_in_queue"


class BadSettings(LmaasError):
    """A setting is missing or wrong; the process does not start."""

    code = "bad_settings"
