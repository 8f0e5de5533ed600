"""/v1/usage and /v1/audit: what a tenant used, and what was changed in it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import Field

from api import auth, presentation
from api.moments import moment
from api.queries import Parameters
from api.result_schemas import Answer
from api.services import Services
from jobs import audit, usage
from jobs.audit import Entry, Page
from jobs.errors import InvalidRequest
from jobs.keys import Scope
from jobs.usage import UsageLine, Wanted

_STORABLE = r"^[^\x00]*$"
_DEFAULT_DAYS = 30
MOST_DAYS = 366


class UsageQuery(Parameters):
    """Which days (UTC, both included), which model, and what a line stands for."""

    first: date | None = Field(default=None, alias="from", description="default: 30 days ago")
    last: date | None = Field(default=None, alias="to", description="default: today")
    model: str | None = Field(
        default=None, max_length=128, pattern=_STORABLE, description="name or name@version"
    )
    group: Literal["day,model", "day", "model", "none"] = Field(
        default="day,model", description="a line for each; `none`: one for all"
    )
    limit: int = Field(default=1_000, ge=1, le=10_000)


class EndedJobs(Answer):
    """How many jobs ended, by their state."""

    succeeded: int
    failed: int
    cancelled: int
    expired: int


class UsageAnswer(Answer):
    """Jobs that ended and their tokens; null is what lines are not divided by."""

    object: Literal["usage"]
    day: str | None
    model: str | None = Field(description="name@version")
    jobs: EndedJobs
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class UsageList(Answer):
    """A tenant's usage, oldest day first; `has_more` if `limit` cut it off."""

    object: Literal["list"]
    data: list[UsageAnswer]
    has_more: bool


class AuditQuery(Parameters):
    """Which page of the audit log."""

    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=64, description="`next_cursor` of a page")
    action: str | None = Field(
        default=None, max_length=64, pattern=_STORABLE, description="such as key.create"
    )


class AuditAnswer(Answer):
    """One change: who made it (a key, or an operator), from where, and of what."""

    id: str
    object: Literal["audit_entry"]
    at: str
    actor: Literal["key", "operator"]
    key_id: str | None
    address: str
    action: str
    target: dict[str, str]
    details: dict[str, Any]


class AuditList(Answer):
    """A page of the audit log, newest first."""

    object: Literal["list"]
    data: list[AuditAnswer]
    next_cursor: str | None


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("tenant", __name__, url_prefix="/v1", abp_tags=[Tag(name="tenant")],
                          abp_security=[{"key": []}])  # fmt: skip

    @routes.get("/usage", summary="Jobs that ended and their tokens", responses={200: UsageList})
    def read_usage(query: UsageQuery) -> Response:
        asking = auth.require(Scope.JOBS)
        lines = usage.of_tenant(services.engine, asking.tenant_id, _wanted(query))
        full = len(lines) == query.limit
        return presentation.listing((_line(line) for line in lines), has_more=full)

    @routes.get("/audit", summary="What was changed, by whom", responses={200: AuditList})
    def read_audit(query: AuditQuery) -> Response:
        asking = auth.require(Scope.ADMIN)
        page = Page(query.limit, _cursor(query.cursor), query.action)
        entries = audit.of_tenant(services.engine, asking.tenant_id, page)
        full = len(entries) == query.limit
        return presentation.listing(
            (_entry(entry) for entry in entries),
            next_cursor=str(entries[-1].id) if full else None,
        )

    return routes


def _wanted(query: UsageQuery) -> Wanted:
    last = query.last or datetime.now(UTC).date()
    first = query.first or last - timedelta(days=min(_DEFAULT_DAYS, (last - date.min).days))
    if not 0 <= (last - first).days < MOST_DAYS:
        raise InvalidRequest(
            f"`from` must not lie after `to`, nor {MOST_DAYS} days or more before it", param="from"
        )
    name, _, number = (query.model or "").partition("@")
    if (number and not number.isdecimal()) or (query.model and not name):
        raise InvalidRequest(f"{query.model!r} is no name or name@version", param="model")
    return Wanted(
        first,
        last,
        name or None,
        min(int(number), 2**31 - 1) if number else None,
        by_day="day" in query.group,
        by_model="model" in query.group,
        limit=query.limit,
    )


def _line(line: UsageLine) -> dict[str, Any]:
    return {
        "object": "usage",
        "day": None if line.day is None else line.day.isoformat(),
        "model": None if line.model is None else f"{line.model}@{line.version}",
        "jobs": {
            "succeeded": line.succeeded,
            "failed": line.failed,
            "cancelled": line.cancelled,
            "expired": line.expired,
        },
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.completion_tokens,
        "total_tokens": line.prompt_tokens + line.completion_tokens,
    }


def _cursor(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise InvalidRequest(f"{text!r} is no cursor of a list", param="cursor") from None


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "object": "audit_entry",
        "at": moment(entry.at),
        "actor": entry.actor,
        "key_id": None if entry.key_id is None else str(entry.key_id),
        "address": entry.address,
        "action": entry.action,
        "target": {"kind": entry.target_kind, "id": entry.target_id},
        "details": entry.details,
    }
