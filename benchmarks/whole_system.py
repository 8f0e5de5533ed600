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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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


Rates = dict[int, dict[str, list[float]]]
ENGINE, SYSTEM = "engine alone", "whole system"


def rounds(arguments: argparse.Namespace) -> Rates:
    """A B A B; the engine of A stays loaded and idle during B."""
    engine = LmEngine.load(arguments.model, device="cpu", dtype="auto", slots=SLOTS,
                           kv_tokens=0, threads=0)  # fmt: skip
    renderer = PromptRenderer.load(arguments.model)
    engine_alone(engine, renderer, jobs(SLOTS))  # warm
    counts = (48, 144, arguments.requests)
    found: Rates = {count: {ENGINE: [], SYSTEM: []} for count in counts}
    with _stack(arguments.model) as stack:
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds} ...", flush=True)
            for count in counts:
                found[count][ENGINE].append(engine_alone(engine, renderer, jobs(count)))
            stack.start("web", "dispatcher", "worker")
            stack.ready()
            whole_system(stack, "bench", jobs(SLOTS))  # warm
            for count in counts:
                found[count][SYSTEM].append(whole_system(stack, "bench", jobs(count)))
            stack.stop()
    return found


@contextmanager
def _stack(model: Path) -> Iterator[Stack]:
    """All processes' settings and servers, with the model imported; none runs yet."""
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
        stack = Stack(folder, database_url=postgres.start(), redis_url=valkey.start(),
                      LMAAS_MODEL="bench", LMAAS_SLOTS=str(SLOTS), LMAAS_LEASE_S="45",
                      LMAAS_HEARTBEAT_S="10")  # fmt: skip
        try:
            stack.command("models_store", "import", str(model), "--name", "bench")
            yield stack
        finally:
            stack.close()
            valkey.stop()
            postgres.remove()


def report(found: Rates, command: str) -> None:
    """Prints medians side by side and writes all rounds as JSON."""
    print(f"\n{'tokens/s':22}{ENGINE:>14}{SYSTEM:>14}{'ratio':>8}")
    for count, rates in found.items():
        alone, whole = (statistics.median(rates[what]) for what in (ENGINE, SYSTEM))
        print(f"{f'{count} requests':22}{alone:14.1f}{whole:14.1f}{whole / alone:8.3f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"command": command, "tokens_per_s": found}, indent=1) + "\n")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / ".lmaas" / "convert" / "smollm2")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=700, help="about a minute of steady work")
    arguments = parser.parse_args()
    report(rounds(arguments), "python -m benchmarks.whole_system " + " ".join(sys.argv[1:]))


if __name__ == "__main__":
    main()
