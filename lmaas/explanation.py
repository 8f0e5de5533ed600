"""Why a job is where it is, as a client sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lmaas.reading import answer, read_time


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job is where it is: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Position:
    """Jobs that go before a waiting one: at least so many if `more`."""

    ahead: int
    more: bool
    higher_priority: int
    own: int
    other_tenants: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A point in time, as well as it is known. All None if it is not, and
    `unknown` is the code of the reason."""

    earliest: datetime | None
    expected: datetime | None
    latest: datetime | None
    unknown: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a job stands, when it will run, and why not yet; the first reason decides."""

    id: str
    status: str
    model: str
    as_of: datetime | None
    position: Position | None
    start: Interval
    finish: Interval
    reasons: tuple[Reason, ...]


@answer
def read_explanation(body: Mapping[str, Any]) -> Explanation:
    """An explanation from the server's JSON."""
    position = body.get("position")
    counted = ("ahead", "more", "higher_priority", "own", "other_tenants")
    return Explanation(
        id=body["id"],
        status=body["status"],
        model=body["model"],
        as_of=read_time(body.get("as_of")),
        position=Position(**{name: position[name] for name in counted}) if position else None,
        start=_interval(body["start"]),
        finish=_interval(body["finish"]),
        reasons=tuple(Reason(item["code"], item["message"]) for item in body["reasons"]),
    )


def _interval(body: Mapping[str, Any]) -> Interval:
    earliest, expected, latest = (
        read_time(body.get(name)) for name in ("earliest", "expected", "latest")
    )
    return Interval(earliest, expected, latest, body.get("unknown"))
