"""What must be there before jobs can run: tables, a key, models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from lmaas.errors import StartFailed
from lmaas.local.checkout import Checkout
from lmaas.local.memory import Memory
from lmaas.local.plans import ECHO, SMOLLM2, python
from lmaas.local.steps import Steps

_SMOLLM2_NAMES = (SMOLLM2, "smollm2")


def migrate(steps: Steps) -> None:
    """Brings the database's tables to this checkout's version."""
    steps.run("release", python("migrations"))


def make_key(steps: Steps) -> str:
    """A new API key with all scopes."""
    command = python("api.bootstrap", "--tenant", "default", "--name", "embedded")
    words = steps.run("bootstrap", command).split()
    if not words:
        raise StartFailed("`python -m api.bootstrap` printed no API key")
    return words[-1]


def ensure_models(
    checkout: Checkout, steps: Steps, memory: Memory, model: str, tell: Callable[[str], None]
) -> Memory:
    """Puts `echo` and the wanted model into the Model Store unless they are there.

    Only SmolLM2 and echo can be made from what is installed; raises
    `StartFailed` with the names there are if another one is missing.
    """
    wanted = SMOLLM2 if model in _SMOLLM2_NAMES else model.partition("@")[0]
    if {ECHO, wanted} <= set(memory.models.get(memory.database, ())):
        return memory
    known = _stored(steps)
    if ECHO not in known:
        tell("making the echo model")
        steps.run("models", python("models_store", "echo", "--name", ECHO))
        known.add(ECHO)
    if wanted == SMOLLM2 and wanted not in known:
        _import_smollm2(checkout, steps, tell)
        known.add(SMOLLM2)
    if wanted not in known:
        raise StartFailed(
            f"no model {wanted!r} in the Model Store; there are {', '.join(sorted(known))}. "
            "`lmaas models import FOLDER --name NAME` adds one"
        )
    return memory.with_models([ECHO, wanted])


def _stored(steps: Steps) -> set[str]:
    """Names and aliases of the stored models."""
    body = json.loads(steps.run("models", python("models_store", "ls", "--json")) or "[]")
    models = body["data"] if isinstance(body, dict) else body
    return {name for item in models for name in (item["name"], *item.get("aliases", ()))}


def _import_smollm2(checkout: Checkout, steps: Steps, tell: Callable[[str], None]) -> None:
    converted = checkout.state / "convert" / "smollm2"
    if not (converted / "config.json").exists():
        tell("converting SmolLM2-135M-Instruct to safetensors (once)")
        _convert(steps, converted)
    tell("putting SmolLM2 into the Model Store")
    words = ("import", str(converted), "--name", SMOLLM2, "--alias", "smollm2")
    steps.run("models", python("models_store", *words))


def _convert(steps: Steps, target: Path) -> None:
    """Makes it aside, so that half a conversion never counts."""
    unfinished = target.with_name(f"{target.name}.new")
    for leftover in (unfinished, target):
        shutil.rmtree(leftover, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    steps.run("convert", python("workers.convert", "--smollm2", "--out", str(unfinished)))
    unfinished.rename(target)
