"""How models, workers, queues and components look on the wire; see `api.operation_schemas`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.moments import maybe, moment
from jobs.job_views import QueueDepth
from jobs.leases import Worker
from jobs.outlook.components import Component
from jobs.outlook.crash_loops import Crashes
from jobs.pauses import Pause
from models_store.catalog import ModelVersion


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is going on with all model versions."""

    workers: Sequence[Worker]
    paused: Mapping[tuple[str, int], Pause]
    crashes: Sequence[Crashes]


def model(version: ModelVersion, state: ModelState) -> dict[str, Any]:
    """A model version as `ModelAnswer` says."""
    hosts = [w for w in state.workers if (w.model, w.version) == (version.name, version.version)]
    pause = state.paused.get((version.name, version.version))
    crashes = next(
        (c for c in state.crashes if (c.model, c.version) == (version.name, version.version)), None
    )
    return {
        "id": version.reference,
        "object": "model",
        "created": int(version.created_at.timestamp()),
        "owned_by": "lmaas",
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "tasks": list(version.tasks),
        "context_length": version.context_length,
        "engine": version.engine,
        "size_bytes": version.size_bytes,
        "created_at": maybe(version.created_at),
        "workers": len(hosts),
        "paused": None
        if pause is None
        else {"since": maybe(pause.paused_at), "reason": pause.reason},
        "crash_loop": None
        if crashes is None or not crashes.looping
        else {
            "deaths": crashes.deaths,
            "last_at": maybe(crashes.last_at),
            "exit_code": crashes.exit_code,
        },
    }


def worker(live: Worker) -> dict[str, Any]:
    """A worker as `WorkerAnswer` says."""
    return {
        "id": str(live.id),
        "model": f"{live.model}@{live.version}",
        "state": live.state,
        "device": live.device,
        "host": live.host,
        "pid": live.pid,
        "slots": live.slots,
        "busy": live.busy,
        "started_at": maybe(live.started_at),
        "heartbeat_at": maybe(live.heartbeat_at),
    }


def queue(depth: QueueDepth, paused: Mapping[tuple[str, int], Pause]) -> dict[str, Any]:
    """A queue as `QueueAnswer` says."""
    return {
        "model": f"{depth.model}@{depth.version}",
        "queued": depth.queued,
        "running": depth.running,
        "paused": (depth.model, depth.version) in paused,
    }


def component(shown: Component) -> dict[str, Any]:
    """A part of the system as `ComponentAnswer` says."""
    return {
        "name": shown.name,
        "seen_at": maybe(shown.seen_at),
        "age_s": round(shown.age_s, 1),
        "missed": shown.missed,
        "broker_ok": shown.broker_ok,
        "broker_since": maybe(shown.broker_since),
        "failing": [
            {"name": one.name, "times": one.times, "error": one.error, "since": moment(one.since)}
            for one in shown.failing
        ],
    }
