"""The clients: what is installed of each, in an environment of its own, and what it does."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conditions import ROOT

HOME = ROOT / ".lmaas" / "compat"
PROGRAMS = "tests.compat.programs"
INSTALL_S, RUN_S = 1_200, 900


@dataclass(frozen=True, slots=True)
class Client:
    """A client that people have: its packages by range, and the program that uses it.

    The program runs in the client's environment with LMAAS_URL (ending in /v1) and
    LMAAS_API_KEY. It prints `ok WHAT` or `failed WHAT: WHY` for each thing it tries.
    """

    name: str
    packages: tuple[str, ...]
    program: str


CLIENTS = (
    # litellm 1.109 wants versions of its own needs that are days old.
    # Its responses API imports mcp.
    Client("litellm", ("litellm[mcp]>=1.106,<1.109",), "with_litellm"),
    Client("langchain-openai", ("langchain-openai>=1.7,<2",), "with_langchain"),
    Client("llm", ("llm>=0.36,<0.37",), "with_llm"),
    # transformers, without torch, tokenizes for tasks that score.
    Client("lm_eval", ("lm-eval[api]>=0.4.13,<0.5", "transformers>=5,<6"), "with_lm_eval"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried; `why` is empty if it works."""

    client: str
    what: str
    why: str


def installed(client: Client) -> Path:
    """The Python of a client's environment, which is made at the first run."""
    folder = HOME / client.name
    wanted = "\n".join(client.packages)
    done = folder / "installed"
    if not done.exists() or done.read_text("utf-8") != wanted:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], {}, INSTALL_S)
        pip = [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        _run([*pip, *client.packages], {}, INSTALL_S)
        done.write_text(wanted, "utf-8")
    return folder / "bin" / "python"


def version(client: Client, python: Path) -> str:
    """The version that is installed."""
    said = f"import importlib.metadata as m; print(m.version({client.name!r}))"
    return _run([str(python), "-c", said], {}, 60).stdout.strip()


def tried(client: Client, python: Path, environment: Mapping[str, str]) -> list[Finding]:
    """What the client's program found."""
    try:
        done = _run(
            [str(python), "-m", f"{PROGRAMS}.{client.program}"], environment, RUN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [Finding(client.name, "the whole program", f"took longer than {RUN_S} s")]
    findings = []
    for line in done.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        if verdict in ("ok", "failed"):
            what, _, why = rest.partition(": ")
            findings.append(Finding(client.name, what, "" if verdict == "ok" else why or "?"))
    if done.returncode or not findings:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        findings.append(Finding(client.name, "the whole program", said))
    return findings


def _run(
    command: list[str], environment: Mapping[str, str], most_s: float, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    # Nobody asks a hub.
    clean = {"PATH": f"{Path(command[0]).parent}:/usr/bin:/bin", "HOME": str(HOME),
             "PYTHONPATH": str(ROOT)}  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
               "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # fmt: skip
    return subprocess.run(
        command, env=clean | offline | dict(environment), cwd=HOME, timeout=most_s, check=check,
        capture_output=True, text=True,
    )  # fmt: skip
