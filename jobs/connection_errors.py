"""Errors of a request whose connection, or whose web process, comes to its end."""

from jobs.errors import LmaasError


class ServerStopping(LmaasError):
    """The web process that was asked ends; the next one, or another, answers."""

    code = "server_stopping"
    retryable = True


class BodyTimeout(LmaasError):
    """The body of a request did not come."""

    code = "body_timeout"
