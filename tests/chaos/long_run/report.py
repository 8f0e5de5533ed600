"""What came of a run: the checker's verdict and a table."""

from collections import Counter
from dataclasses import replace

from tests.chaos.checker import Evidence, Verdict, check
from tests.chaos.history import Entry, History, Kind
from tests.chaos.ledger import read_ledger, redis_contents, unfinished
from tests.chaos.long_run.conduct import Run
from tests.chaos.long_run.world import World
from tests.conditions import eventually

# What a client may be told: taken, there already, try again, or nothing at all.
_KNOWN = frozenset({200, 202, 503, None})
_REST_WITHIN_S = 120.0


def judge(run: Run, *, exact: bool) -> int:
    """Waits until the world has come to rest and stopped; prints the table.
    1 if there is anything to complain of, else 0."""
    complaints = [*run.broken, *run.load.failures, *_strange_answers(run.world.history)]
    world = run.world
    try:
        eventually(lambda: unfinished(world.engine) == 0, within_s=_REST_WITHIN_S,
                   what="all jobs have ended")  # fmt: skip
    except AssertionError as error:
        complaints.append(str(error))
    complaints += _bells_unheard(world)
    world.stop()
    with world.redis() as redis:
        left = redis_contents(redis)
    logs = {
        path.stem: path.read_text(errors="replace") for path in world.stack.folder.glob("*.log")
    }
    history = world.history if exact else _without_texts(world.history)
    evidence = Evidence(read_ledger(world.engine), history, redis=left, logs=logs,
                        canaries=run.canaries)  # fmt: skip
    verdict = check(evidence)
    complaints += map(str, verdict.violations)
    _print(run, verdict, history, complaints)
    history.write(world.stack.folder / "history.jsonl")
    return 1 if complaints else 0


def _bells_unheard(world: World) -> list[str]:
    """Workers connect to a Redis that was away for long half a minute later at the latest."""
    try:
        with world.redis() as redis:
            eventually(lambda: not redis.keys("model.*"), within_s=60, what="all bells are heard")
    except AssertionError as error:
        return [str(error)]
    return []


def _strange_answers(history: History) -> list[str]:
    strange = Counter(
        (entry.kind.value, entry.status)
        for entry in history.entries(Kind.SUBMIT, Kind.SEEN, Kind.CANCEL)
        if entry.status not in _KNOWN
    )
    return [f"{count} times a {kind} was answered {status}"
            for (kind, status), count in strange.items()]  # fmt: skip


def _without_texts(history: History) -> History:
    """For a model whose answers nobody knows beforehand."""
    return History.of(
        replace(entry, text=None) if entry.kind is Kind.SUBMIT else entry
        for entry in history.entries()
    )


def _print(run: Run, verdict: Verdict, history: History, complaints: list[str]) -> None:
    submits = history.entries(Kind.SUBMIT)
    rows = [
        ("jobs accepted", verdict.accepted),
        *((f"  {state}", count) for state, count in sorted(verdict.states.items())),
        ("lost", verdict.lost),
        ("doubled", verdict.doubled),
        ("recovered (ran more than once)", verdict.recovered),
        ("stale writes rejected", verdict.stale_rejected),
        ("stale writes accepted", verdict.stale_accepted),
        ("cancels acknowledged", _cancels(history.entries(Kind.CANCEL))),
        ("submits answered 503", sum(entry.status == 503 for entry in submits)),
        ("submits without an answer", sum(entry.status is None for entry in submits)),
        (f"faults in {run.seconds():.0f} s", run.faults.total()),
        *((f"  {kind}", count) for kind, count in sorted(run.faults.items())),
        ("violations", len(complaints)),
    ]
    print()
    for name, number in rows:
        print(f"{name:44}{number:8}")
    for complaint in complaints:
        print(f"VIOLATION {complaint}")


def _cancels(entries: list[Entry]) -> int:
    return sum(entry.cancel_requested for entry in entries)
