"""`lmaas explain`: why a job is where it is."""

from datetime import datetime

import click

from lmaas.cli.output import console, duration, print_json, server_options
from lmaas.client import Client
from lmaas.explanation import Explanation, Interval, Position


@click.command()
@click.argument("job_id")
@server_options
def explain(job_id: str, url: str | None, as_json: bool) -> None:
    """Say where a job stands, when it will run, and why not yet."""
    with Client(url) as client:
        told = client.explain(job_id)
    if as_json:
        print_json(told)
    else:
        _show(told)


def _show(told: Explanation) -> None:
    shown = console()
    shown.print(f"{told.id} is {told.status} on {told.model}", markup=False)
    for number, reason in enumerate(told.reasons):
        mark = "because" if number == 0 else "also"
        shown.print(f"{mark:<10}{reason.message} ({reason.code})", markup=False)
    if told.position is not None:
        shown.print(f"{'ahead':<10}{_ahead(told.position)}", markup=False)
    if told.status in ("queued", "running"):
        rows = [("starts", told.start)] if told.status == "queued" else []
        for name, interval in (*rows, ("ends", told.finish)):
            shown.print(f"{name:<10}{_when(interval, told.as_of)}", markup=False)


def _ahead(position: Position) -> str:
    if not position.ahead:
        return "no job"
    parts = [
        (position.higher_priority, "of higher priority"),
        (position.own, "of your own"),
        (position.other_tenants, "of other tenants"),
    ]
    told = ", ".join(f"{count:,} {whose}" for count, whose in parts if count)
    more = "more than " if position.more else "about " if position.ahead > 1 else ""
    return f"{more}{position.ahead:,} job{'' if position.ahead == 1 else 's'} ({told})"


def _when(interval: Interval, now: datetime | None) -> str:
    if interval.expected is None or interval.earliest is None or now is None:
        return f"not known ({interval.unknown})"
    spans = [_from_now(interval.earliest, now), _from_now(interval.expected, now)]
    latest = "no known end" if interval.latest is None else _from_now(interval.latest, now)
    return f"in about {spans[1]} (between {spans[0]} and {latest})"


def _from_now(moment: datetime, now: datetime) -> str:
    return duration(max(0.0, (moment - now).total_seconds()))
