"""What a client sees of its own tenant: usage and the audit log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from lmaas.reading import answer, read_list, read_time
from lmaas.transport import Transport

Group = Literal["day,model", "day", "model", "none"]


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Jobs that ended, by their state, and their tokens, on a day (UTC) on a model
    version; None for what lines were not divided by."""

    day: date | None
    model: str | None
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change: who made it (`actor` is key or operator), from where, and of what."""

    id: str
    at: datetime | None
    actor: str
    key_id: str | None
    address: str
    action: str
    target_id: str
    details: Mapping[str, Any]


class Tenant:
    """The part of `lmaas.Client` that speaks of its own tenant."""

    _transport: Transport

    def usage(
        self,
        first: date | None = None,
        last: date | None = None,
        *,
        model: str | None = None,
        group: Group = "day,model",
    ) -> list[UsageLine]:
        """What the tenant used, oldest day first; from 30 days ago to today by default,
        at most 10,000 lines. Each job counts once, on the day (UTC) it ended."""
        query: dict[str, str | int] = {"group": group, "limit": 10_000}
        wanted = {"from": first, "to": last, "model": model}
        query |= {name: str(value) for name, value in wanted.items() if value is not None}
        return read_list(self._transport.request("GET", "/v1/usage", query=query), _read_usage)

    def audit(self, *, action: str | None = None, page: int = 100) -> Iterator[AuditEntry]:
        """What was changed in the tenant, newest first. Needs a key with the scope `admin`."""
        query: dict[str, str | int] = {"limit": page}
        if action is not None:
            query["action"] = action
        while True:
            body = self._transport.request("GET", "/v1/audit", query=query)
            yield from read_list(body, _read_entry)
            if not body.get("next_cursor"):
                return
            query["cursor"] = body["next_cursor"]


@answer
def _read_usage(body: Mapping[str, Any]) -> UsageLine:
    jobs = body["jobs"]
    return UsageLine(
        day=date.fromisoformat(body["day"]) if body.get("day") else None,
        model=body.get("model"),
        succeeded=jobs["succeeded"],
        failed=jobs["failed"],
        cancelled=jobs["cancelled"],
        expired=jobs["expired"],
        prompt_tokens=body["prompt_tokens"],
        completion_tokens=body["completion_tokens"],
    )


@answer
def _read_entry(body: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(
        id=body["id"],
        at=read_time(body["at"]),
        actor=body["actor"],
        key_id=body.get("key_id"),
        address=body.get("address", ""),
        action=body["action"],
        target_id=body["target"]["id"],
        details=dict(body.get("details") or {}),
    )
