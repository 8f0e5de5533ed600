"""What is started: the Procfile's processes with their settings, in order."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SMOLLM2 = "smollm2-135m-instruct"
ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Options:
    """What `lmaas up` was asked for."""

    model: str = SMOLLM2
    workers: int = 1
    device: str = "auto"
    flower: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """One process to keep running. A lower `stage` is stopped earlier."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stage: int
    patience_s: float


WEB, WORKERS, DECIDERS, SERVERS_REDIS, SERVERS_POSTGRES = range(5)


def python(*words: str) -> tuple[str, ...]:
    """A command with this interpreter; output is not held back."""
    return (sys.executable, "-u", "-m", *words)


def plans(options: Options, environment: Mapping[str, str]) -> list[Plan]:
    """The processes, in the order of their start."""
    drain_s = float(environment.get("LMAAS_DRAIN_S", "30"))
    shared = dict(environment)
    planned = [
        Plan("web", python("api"), shared, WEB, 20),
        Plan("dispatcher", python("dispatcher"), shared, DECIDERS, 15),
        Plan("housekeeper", python("dispatcher.housekeeper"), shared, DECIDERS, 15),
    ]
    for index in range(options.workers):
        name = "worker" if options.workers == 1 else f"worker-{index + 1}"
        settings = {**shared, **_worker_settings(options, index, shared)}
        planned.append(Plan(name, python("workers"), settings, WORKERS, drain_s + 15))
    if options.flower:
        planned.append(Plan("flower", python("bells.flower"), shared, DECIDERS, 10))
    return planned


def _worker_settings(options: Options, index: int, shared: Mapping[str, str]) -> dict[str, str]:
    """One device for each worker where there are several, a share of the cores where not."""
    settings = {"LMAAS_MODEL": options.model, "LMAAS_DEVICE": options.device}
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    if options.workers > 1 and options.device == "auto" and gpus:
        settings["LMAAS_DEVICE"] = f"cuda:{index % gpus}"
    elif options.workers > 1 and "LMAAS_THREADS" not in shared:
        settings["LMAAS_THREADS"] = str(max(1, (os.cpu_count() or 1) // options.workers))
    return settings
