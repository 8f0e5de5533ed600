"""The front layer for people: a Python client and a command line.

Owns `Client`, the command `lmaas` and, in `lmaas.local`, the embedded servers.
Speaks HTTP and starts processes; it must not import a line of the server.
"""

from lmaas.answers import (
    Attempt,
    Component,
    Job,
    JobError,
    Key,
    MapResult,
    Model,
    Queue,
    Replay,
    Result,
    Timings,
    Usage,
    Worker,
)
from lmaas.client import Client
from lmaas.errors import (
    DeadlineUnmeetable,
    JobCancelled,
    JobEnded,
    JobExpired,
    JobFailed,
    LimitExceeded,
    LmaasError,
    RequestRefused,
    ServerFailed,
    ServerUnreachable,
    WaitTimeout,
)
from lmaas.explanation import Explanation
from lmaas.files import File
from lmaas.tenant import AuditEntry, UsageLine
from lmaas.version import __version__

__all__ = [
    "Attempt",
    "AuditEntry",
    "Client",
    "Component",
    "DeadlineUnmeetable",
    "Explanation",
    "File",
    "Job",
    "JobCancelled",
    "JobEnded",
    "JobError",
    "JobExpired",
    "JobFailed",
    "Key",
    "LimitExceeded",
    "LmaasError",
    "MapResult",
    "Model",
    "Queue",
    "Replay",
    "RequestRefused",
    "Result",
    "ServerFailed",
    "ServerUnreachable",
    "Timings",
    "Usage",
    "UsageLine",
    "WaitTimeout",
    "Worker",
    "__version__",
]
