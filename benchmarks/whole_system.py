"""`python -m benchmarks.whole_system`: what the system around the engine costs.

The same requests, A B A B in one run: through the engine alone, in one
process; and over HTTP through submit, queue, worker, commit and poll. Both
start with everything waiting and end with the last token.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import load
from benchmarks.workload import Job, jobs
from jobs.ids import new_id
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from models_store.prompt import PromptRenderer
from tests.conditions import ROOT
from tests.stack import Stack
from workers.engines.lm.engine import LmEngine
from workers.engines.protocol import Request, Sampling

RESULTS = ROOT / "benchmarks" / "results" / "whole_system.json"
SLOTS = 128


def engine_alone(engine: LmEngine, renderer: PromptRenderer, wanted: Sequence[Job]) -> float:
    """Tokens per second with nothing around the engine."""
    waiting = [
        Request(
            new_id(),
            renderer.encode(
                renderer.chat([{"role": "user", "content": job.message}]), special=False
            ),
            Sampling(max_tokens=job.max_tokens),
        )
        for job in reversed(wanted)
    ]
    tokens, began = 0, time.perf_counter()
    while waiting or engine.active:
        while waiting and engine.active < engine.slots:
            engine.add(waiting.pop())
        tokens += sum(c.completion_tokens for c in engine.step() if c.finish_reason)
    return tokens / (time.perf_counter() - began)


def whole_system(stack: Stack, model: str, wanted: Sequence[Job]) -> float:
    """Tokens per second from the first submit to the last polled result."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {stack.key}"}

    def client(share: Sequence[Job]) -> int:
        http = load.Http(stack.port, headers)
        ids = [http.call("POST", "/v1/jobs", _body(model, job))["id"] for job in share]
        tokens = 0
        for id in ids:
            while (answer := http.call("GET", f"/v1/jobs/{id}?wait=50"))["result"] is None:
                if answer["error"]:
                    raise RuntimeError(str(answer["error"]))
            tokens += answer["result"]["usage"]["completion_tokens"]
        http.close()
        return tokens

    began = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        tokens = sum(pool.map(client, [wanted[n::8] for n in range(8)]))
    return tokens / (time.perf_counter() - began)


def _body(model: str, job: Job) -> dict[str, object]:
    messages = [{"role": "user", "content": job.message}]
    return {"task": "chat", "model": model, "input": {"messages": messages},
            "parameters": {"max_tokens": job.max_tokens}}  # fmt: skip


def rounds(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """A B A B; the engine of A stays loaded and idle during B."""
    wanted = jobs(arguments.requests)
    engine = LmEngine.load(arguments.model, device="cpu", dtype="auto", slots=SLOTS,
                           kv_tokens=0, threads=0)  # fmt: skip
    renderer = PromptRenderer.load(arguments.model)
    engine_alone(engine, renderer, jobs(SLOTS))  # warm
    found: dict[str, list[float]] = {"engine alone": [], "whole system": []}
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "postgres")
        valkey = EmbeddedValkey(folder / "valkey")
        stack = Stack(folder, database_url=postgres.start(), redis_url=valkey.start(),
                      LMAAS_MODEL="bench", LMAAS_SLOTS=str(SLOTS), LMAAS_LEASE_S="45",
                      LMAAS_HEARTBEAT_S="10")  # fmt: skip
        try:
            stack.command("models_store", "import", str(arguments.model), "--name", "bench")
            for number in range(arguments.rounds):
                print(f"round {number + 1} of {arguments.rounds} ...", flush=True)
                found["engine alone"].append(engine_alone(engine, renderer, wanted))
                stack.start("web", "dispatcher", "worker")
                stack.ready()
                whole_system(stack, "bench", jobs(SLOTS))  # warm
                found["whole system"].append(whole_system(stack, "bench", wanted))
                stack.stop()
        finally:
            stack.close()
            valkey.stop()
            postgres.remove()
    return found


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / ".lmaas" / "convert" / "smollm2")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=700, help="about a minute of steady work")
    arguments = parser.parse_args()
    found = rounds(arguments)
    for what, values in found.items():
        print(
            f"{what:14} {statistics.median(values):8.1f} tokens/s   {[round(v, 1) for v in values]}"
        )
    ratio = statistics.median(found["whole system"]) / statistics.median(found["engine alone"])
    print(f"{'ratio':14} {ratio:8.3f}")
    RESULTS.parent.mkdir(exist_ok=True)
    command = "python -m benchmarks.whole_system " + " ".join(sys.argv[1:])
    RESULTS.write_text(
        json.dumps({"command": command, "tokens_per_s": found, "ratio": ratio}) + "\n"
    )


if __name__ == "__main__":
    main()
