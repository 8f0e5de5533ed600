"""`lmaas status`: what runs here, and what the server says of itself."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from lmaas.answers import Component, Model, Queue, Worker
from lmaas.cli.exits import NO_SERVER, OK
from lmaas.cli.model_state import state_of
from lmaas.cli.output import ago, console, duration, json_option, print_json, print_table
from lmaas.client import Client
from lmaas.errors import LmaasError, NothingRuns, RequestRefused
from lmaas.local import orphans, process, report
from lmaas.local.checkout import Checkout, find_checkout
from lmaas.local.report import ProcessReport, Report
from lmaas.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server says over HTTP; `problem` if it says nothing."""

    models: tuple[Model, ...] = ()
    workers: tuple[Worker, ...] = ()
    queues: tuple[Queue, ...] = ()
    components: tuple[Component, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    problem: str | None = None


@click.command()
@json_option
def status(as_json: bool) -> int:
    """Show processes, addresses, models, workers and queues; exit 0 if all run, else 3."""
    if os.environ.get("LMAAS_URL"):
        seen = _ask()
        if as_json:
            print_json(seen)
        else:
            _print_server(seen)
        return NO_SERVER if seen.problem else OK
    checkout = find_checkout()
    lives = report.supervisor_lives(checkout)
    last = report.read(checkout.report_file)
    seen = _ask() if lives else Seen(problem=NothingRuns().message)
    healthy = lives and last is not None and _healthy(last) and seen.problem is None
    if as_json:
        print_json(_facts(checkout, last if lives else None, seen, healthy=healthy))
    else:
        _print_local(checkout, last, lives=lives)
        _print_server(seen)
    return OK if healthy else NO_SERVER


def _ask() -> Seen:
    try:
        with Client(patience_s=0) as client:
            return Seen(
                tuple(client.models()),
                tuple(client.workers()),
                tuple(client.queues()),
                tuple(client.components()),
                _webhooks(client),
            )
    except LmaasError as error:
        return Seen(problem=error.message)


def _webhooks(client: Client) -> tuple[Webhook, ...]:
    try:
        return tuple(client.webhooks.ls())
    except RequestRefused:  # a key that is not for managing them
        return ()


def _healthy(last: Report) -> bool:
    return last.phase == "ready" and all(item.state == "running" for item in last.processes)


def _facts(checkout: Checkout, last: Report | None, seen: Seen, *, healthy: bool) -> dict[str, Any]:
    return {
        "healthy": healthy,
        "phase": last.phase if last else "stopped",
        "step": last.step if last else None,
        "ready_after_s": last.ready_after_s if last else None,
        "processes": [_process(item) for item in last.processes] if last else [],
        "addresses": last.addresses if last else {},
        "notes": list(last.notes) if last else [],
        "left_behind": [] if last else [orphan.pid for orphan in orphans.find(checkout)],
        "state": str(checkout.state),
        "models": seen.models,
        "workers": seen.workers,
        "queues": seen.queues,
        "components": seen.components,
        "webhooks": seen.webhooks,
        "problem": seen.problem,
    }


def _process(item: ProcessReport) -> dict[str, Any]:
    return {
        "name": item.name,
        "state": item.state,
        "pid": item.pid,
        "since": datetime.fromtimestamp(item.since, UTC),
        "restarts": item.restarts,
        "last_exit": item.last_exit,
        "log": item.log,
    }


def _print_local(checkout: Checkout, last: Report | None, *, lives: bool) -> None:
    shown = console()
    if not lives or last is None:
        left = orphans.find(checkout)
        if left:
            shown.print(
                f"A killed supervisor left {len(left)} processes behind; `lmaas down` ends them."
            )
        if last is not None and last.phase == "failed":
            shown.print(f"The last start failed: {last.step}", markup=False)
        return
    running = process.is_running(last.identity)
    state = last.phase if last.phase == "ready" else f"{last.phase}: {last.step}"
    shown.print(f"supervisor {last.pid if running else '?'}: {state}", markup=False)
    now = time.time()
    rows = [
        (item.name, item.state, item.pid or "-", duration(now - item.since), item.restarts)
        for item in last.processes
    ]
    print_table(("process", "state", "pid", "for", "restarts"), rows, "no processes yet")
    for name, address in last.addresses.items():
        shown.print(f"{name:<8} {address}", markup=False)
    for note in last.notes:
        shown.print(f"note     {note}", markup=False)


def _print_server(seen: Seen) -> None:
    if seen.problem is not None:
        console().print(seen.problem, markup=False)
        return
    waiting = {queue.model: queue for queue in seen.queues}
    rows = []
    for model in seen.models:
        queue = waiting.get(model.id)
        counts = (queue.queued, queue.running) if queue else (0, 0)
        rows.append((model.id, model.workers, *counts, state_of(model)))
    print_table(("model", "workers", "queued", "running", "state"), rows, "no models")
    _print_components(seen.components)
    _print_webhooks(seen.webhooks)
    workers = [
        (worker.id, worker.model, worker.state, worker.device, f"{worker.busy}/{worker.slots}")
        for worker in seen.workers
    ]
    print_table(("worker", "model", "state", "device", "busy"), workers, "no workers")


def _print_webhooks(webhooks: tuple[Webhook, ...]) -> None:
    """Says which are sent nothing; nothing while all is well."""
    for one in webhooks:
        if one.disabled_reason is not None:
            console().print(
                f"webhook {one.id} was disabled {ago(one.disabled_at)} "
                f"({one.disabled_reason}); `lmaas webhooks enable {one.id}` when it is repaired",
                markup=False,
            )


def _print_components(components: tuple[Component, ...]) -> None:
    """Says what is missing; nothing while all is well."""
    told = console()
    for part in components:
        if part.missed:
            told.print(f"no {part.name} has been seen for {duration(part.age_s)}", markup=False)
        elif part.broker_ok is False:
            told.print("Redis does not answer; jobs run without it, each up to a second later")
        for chore in part.failing:
            told.print(
                f"{part.name}: {chore.name!r} failed {chore.times} times in a row "
                f"({chore.error}), first {ago(chore.since)}; its log says where",
                markup=False,
            )
    if not any(part.name == "dispatcher" for part in components):
        told.print("no dispatcher was ever seen; nothing is released until one runs")
