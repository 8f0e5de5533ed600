"""`lmaas demo`: from nothing to sixteen answers, and away again."""

import time
from contextlib import ExitStack
from dataclasses import dataclass

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lmaas.answers import MapResult
from lmaas.cli.demo_prompts import PROMPTS
from lmaas.cli.exits import JOB_ENDED_BADLY, OK
from lmaas.cli.output import json_option, messages, print_json
from lmaas.cli.steps_shown import shown_steps
from lmaas.client import Client
from lmaas.local import control, report
from lmaas.local.checkout import Checkout, find_checkout
from lmaas.local.memory import Memory
from lmaas.local.plans import SMOLLM2, Options

_MAX_TOKENS = 96


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo measured. `start_s` is the time before the first submit."""

    start_s: float
    wall_s: float
    results: tuple[MapResult, ...]

    @property
    def tokens(self) -> int:
        """Generated tokens of all answers."""
        return sum(item.result.usage.completion_tokens for item in self.results if item.result)

    @property
    def failed(self) -> int:
        """Prompts without an answer."""
        return sum(item.error is not None for item in self.results)


@click.command()
@click.option("--model", envvar="LMAAS_MODEL", default=SMOLLM2, show_default=True)
@click.option(
    "--device", envvar="LMAAS_DEVICE", default="auto", show_default=True, help="auto, cpu, cuda:N."
)
@json_option
def demo(model: str, device: str, as_json: bool) -> int:
    """Start what does not run, answer 16 prompts, show speed, stop what was started."""
    checkout = find_checkout()
    ran = report.supervisor_lives(checkout)
    begun = time.monotonic()
    with ExitStack() as stack:
        if not ran:
            stack.callback(_stop, checkout)
        _start(checkout, Options(model, device=device, flower=False))
        outcome = _ask(checkout, time.monotonic() - begun, ran=ran, quiet=as_json)
        if as_json:
            print_json(_facts(outcome))
        else:
            _conclude(outcome, ran=ran)
    return JOB_ENDED_BADLY if outcome.failed else OK


def _start(checkout: Checkout, options: Options) -> None:
    with shown_steps() as tell:
        control.up(checkout, options, tell, with_me=True)


def _stop(checkout: Checkout) -> None:
    with shown_steps() as tell:
        control.down(checkout, tell)
    messages().print("Everything is stopped.", style="dim")


def _ask(checkout: Checkout, start_s: float, *, ran: bool, quiet: bool) -> Outcome:
    out = Console(highlight=False, soft_wrap=True, quiet=quiet)
    memory = Memory.read(checkout.memory_file) or Memory()
    state = "was running" if ran else "is up"
    out.print(f"LMaaS {state}; ready to submit after {start_s:.1f} s.", style="bold")
    out.print(f"Submitting {len(PROMPTS)} prompts to {memory.default_model}.\n")
    url = f"http://127.0.0.1:{memory.ports['web']}"
    results = []
    with Client(url, memory.api_key) as client, _bar(out) as bar:
        row = bar.add_task("answers", total=len(PROMPTS))
        begun = time.monotonic()
        for item in client.map(
            PROMPTS,
            model=memory.default_model,
            task="chat",
            max_tokens=_MAX_TOKENS,
            ordered=False,
            progress=False,
        ):
            results.append(item)
            bar.advance(row)
            _print_answer(out, item, len(results))
        wall_s = time.monotonic() - begun
    return Outcome(start_s, wall_s, tuple(results))


def _bar(out: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    shown = out.is_terminal and not out.quiet
    return Progress(*columns, TimeElapsedColumn(), console=out, disable=not shown, transient=True)


def _print_answer(out: Console, item: MapResult, count: int) -> None:
    out.print(f"[{count}/{len(PROMPTS)}] {item.input}", style="bold cyan", markup=False)
    if item.result is None:
        out.print(f"  {item.error}\n", style="red", markup=False)
        return
    for line in item.result.text.strip().splitlines():
        out.print(f"  {line}", markup=False)
    latency_s = item.job.timings.latency_s if item.job else None
    took = f"{latency_s:.1f} s" if latency_s is not None else "?"
    tokens = item.result.usage.completion_tokens
    out.print(
        f"  {took}, {tokens} tokens, {item.result.finish_reason}\n", style="dim", markup=False
    )


def _conclude(outcome: Outcome, *, ran: bool) -> None:
    out = Console(highlight=False, soft_wrap=True)
    done = len(outcome.results) - outcome.failed
    out.print(
        f"{done} of {len(PROMPTS)} answers, {outcome.tokens} tokens in {outcome.wall_s:.1f} s: "
        f"{outcome.tokens / outcome.wall_s:.0f} tokens/s. "
        f"The start took {outcome.start_s:.1f} s.",
        style="bold green" if not outcome.failed else "bold yellow",
    )
    if ran:
        out.print("It stays up, as you started it. `lmaas ls` shows the jobs.")
        return
    out.print(
        "Next: `make up` starts it to stay, with an API, its docs page and Flower; then\n"
        '  .venv/bin/lmaas submit --chat --wait "What is a queue?"\n'
        "and README.md shows the same with curl and Python. Stopping what this demo started:",
        markup=False,
    )


def _facts(outcome: Outcome) -> dict[str, object]:
    return {
        "start_s": round(outcome.start_s, 2),
        "wall_s": round(outcome.wall_s, 2),
        "completion_tokens": outcome.tokens,
        "tokens_per_s": round(outcome.tokens / outcome.wall_s, 1),
        "failed": outcome.failed,
        "answers": [
            {
                "prompt": item.input,
                "text": item.result.text if item.result else None,
                "error": str(item.error) if item.error else None,
                "latency_s": item.job.timings.latency_s if item.job else None,
            }
            for item in outcome.results
        ],
    }
