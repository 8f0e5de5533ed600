"""Errors of tenants and their limits; a branch of the tree in `jobs.errors`."""

from jobs.errors import LmaasError


class UnknownTenant(LmaasError):
    """No such tenant; only operators ask for one by its name."""

    code = "tenant_not_found"


class RateLimitExceeded(LmaasError):
    """The tenant asks for more within a minute than it may; nothing was submitted."""

    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        limit: str = "",
        retry_after_s: int = 1,
        again: bool = True,
    ) -> None:
        super().__init__(message, param=param)
        self.limit = limit
        self.retry_after_s = retry_after_s
        # Whether the same request passes by waiting alone: not if it is too large by
        # itself, nor if something must be deleted first.
        self.again = again


class QuotaExceeded(RateLimitExceeded):
    """The tenant has as much waiting, or stored, as it may; nothing was added."""

    code = "quota_exceeded"
