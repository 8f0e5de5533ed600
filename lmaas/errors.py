"""One tree for everything that the client and the command line can raise.

An error's message says what went wrong, where, and what to do. `code` is
stable: for errors that the server names it is the server's code.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmaas.answers import Job


class LmaasError(Exception):
    """Something that LMaaS has a name for went wrong."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadUsage(LmaasError):
    """The call cannot be right: nothing was sent."""

    code = "bad_usage"


class ServerUnreachable(LmaasError):
    """No server answered, however often it was asked."""

    code = "server_unreachable"


class NothingRuns(ServerUnreachable):
    """The server would be this checkout's own, and nothing runs here."""

    def __init__(self) -> None:
        super().__init__("nothing runs here; `lmaas up` starts it")


class WaitTimeout(LmaasError):
    """The job did not end in the time that the caller gave; it goes on."""

    code = "wait_timeout"


class ServerAnswer(LmaasError):
    """The server answered with an error; `status` is the HTTP status."""

    def __init__(
        self, message: str, *, status: int, code: str, type_: str = "", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.type = type_
        self.param = param


class RequestRefused(ServerAnswer):
    """The server refused the request (4xx); the same request is refused again."""


class DeadlineUnmeetable(RequestRefused):
    """The job was not accepted, as it cannot end before its deadline;
    `earliest_finish` says when it could."""

    earliest_finish: datetime | None = None


class LimitExceeded(RequestRefused):
    """The tenant's limit named `limit` is reached (429), and still was after the client
    had waited as it may; `retry_after_s` is what the server said last."""

    limit: str = ""
    retry_after_s: float | None = None


class ServerFailed(ServerAnswer):
    """The server could not serve the request (5xx); it may work later."""


class JobEnded(LmaasError):
    """The job ended without a result; `job` is its last state."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} {job.status}: {_reason(job)}")
        self.job = job
        self.code = job.error.code if job.error else f"job_{job.status}"


def _reason(job: Job) -> str:
    if job.error is not None:
        return job.error.message
    if job.result is not None and job.result.finish_reason == "deadline":
        return "its deadline came while it ran; its result is what it had written by then"
    return f"it was {job.status}"


class JobFailed(JobEnded):
    """The job failed; `code` is the reason's stable name."""


class JobCancelled(JobEnded):
    """The job was cancelled; `job.result` may hold the text so far."""


class JobExpired(JobEnded):
    """The job's time was over before it could end."""


class LocalError(LmaasError):
    """The embedded servers or processes on this machine cannot do it."""

    code = "local_error"


class NotACheckout(LocalError):
    """No checkout of LMaaS was found above the working directory."""

    code = "not_a_checkout"


class MissingPackage(LocalError):
    """An optional package is needed and not installed."""

    code = "missing_package"


class StateUnusable(LocalError):
    """The folder .lmaas cannot be read or written."""

    code = "state_unusable"


class StartFailed(LocalError):
    """A server or process did not come up; the message names its log."""

    code = "start_failed"
