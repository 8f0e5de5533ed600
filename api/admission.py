"""A tenant's limits at the door: asked before a submit, told in headers.

Only tenants with limits are asked about, with one statement each; all others pay a look
at a flag that came with their key.
"""

from collections.abc import Iterator, Sequence

from flask import Flask, Response, g

from api.services import Services
from jobs.envelopes import NewJob
from jobs.keys import Principal
from jobs.quotas import admission, storage
from jobs.quotas.admission import Asked, Rate, Standing

_FORM_BYTES = 10_000


def admit(services: Services, asking: Principal, new: Sequence[NewJob]) -> None:
    """Takes these jobs from what the tenant may still have. Raises `RateLimitExceeded`
    or `QuotaExceeded`, and takes nothing then."""
    if not asking.limited:
        return
    tokens = sum(job.prompt_tokens + job.max_tokens for job in new)
    _ask(services, asking, Asked(len(new), tokens))


def admit_replays(services: Services, asking: Principal, jobs: int) -> None:
    """The same for so many jobs that run again; their tokens are counted once they wait."""
    if asking.limited:
        _ask(services, asking, Asked(jobs, 0))


def admit_lines(services: Services, asking: Principal, new: Sequence[NewJob]) -> None:
    """The same for lines that are appended to a batch, which are no rate."""
    if asking.limited:
        tokens = sum(job.prompt_tokens + job.max_tokens for job in new)
        refusal = admission.admit_lines(services.counting, asking.tenant_id, len(new), tokens)
        if refusal is not None:
            raise refusal


def check_storage(services: Services, asking: Principal, more_bytes: int) -> None:
    """Raises `QuotaExceeded` if the tenant's files would hold more than they may."""
    if asking.limited:
        storage.check_storage(services.engine, asking.tenant_id, more_bytes)


def check_body(services: Services, asking: Principal, length: int | None) -> None:
    """The same for a body that is yet to be read, as far as its length is told; a form
    around a file has some bytes of its own."""
    check_storage(services, asking, max(0, (length or 0) - _FORM_BYTES))


def _ask(services: Services, asking: Principal, asked: Asked) -> None:
    g.standing = admission.admit(services.counting, asking.tenant_id, asked)
    if g.standing.refusal is not None:
        raise g.standing.refusal


def register(app: Flask) -> None:
    """Tells how the tenant stands, as OpenAI's clients expect it."""

    @app.after_request
    def tell(response: Response) -> Response:
        standing: Standing | None = g.get("standing")
        if standing is not None:
            response.headers.extend(_headers(standing))
        return response


def _headers(standing: Standing) -> Iterator[tuple[str, str]]:
    for name, rate in (("requests", standing.requests), ("tokens", standing.tokens)):
        if rate is not None:
            yield f"x-ratelimit-limit-{name}", str(rate.limit)
            yield f"x-ratelimit-remaining-{name}", str(rate.remaining)
            yield f"x-ratelimit-reset-{name}", _duration(rate)


def _duration(rate: Rate) -> str:
    minutes, seconds = divmod(rate.reset_s, 60)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
