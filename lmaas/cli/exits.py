"""Exit codes: the one table."""

from lmaas.errors import (
    BadUsage,
    JobEnded,
    LmaasError,
    LocalError,
    RequestRefused,
    ServerFailed,
    ServerUnreachable,
    WaitTimeout,
)

OK, JOB_ENDED_BADLY, USAGE, NO_SERVER, REFUSED, LOCAL, NOT_YET = 0, 1, 2, 3, 4, 5, 6

_CODES: tuple[tuple[type[LmaasError], int], ...] = (
    (JobEnded, JOB_ENDED_BADLY),
    (BadUsage, USAGE),
    (ServerUnreachable, NO_SERVER),
    (ServerFailed, NO_SERVER),
    (RequestRefused, REFUSED),
    (LocalError, LOCAL),
    (WaitTimeout, NOT_YET),
)

EPILOG = """\b
Exit codes:
  0  done
  1  the job failed, was cancelled or expired
  2  wrong usage
  3  no server answers, or it cannot serve (for `status`: not everything runs)
  4  the server refused the request (4xx)
  5  something on this machine failed: a start, an import, the folder .lmaas
  6  the job had not ended when --timeout was over
  130  stopped with Ctrl-C
"""


def exit_code(error: LmaasError) -> int:
    """The exit code for an error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return LOCAL
