"""The judge of a run: history of the clients against the ledger, Redis and the logs.

It works on plain rows, offline, and finds each breach of the invariants I1 to
I12 of the reliability specification.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatch
from itertools import pairwise
from uuid import UUID

from sqlalchemy import Engine

from jobs.batches.states import BATCH_TERMINAL
from jobs.states import TERMINAL, TRANSITIONS, State
from tests.chaos.history import Entry, History, Kind, Server
from tests.chaos.ledger import Job, Ledger, Line, read_ledger

# What may stay in Redis: kombu's tables of queues; and hints for a dispatcher that is
# away, which are bounded.
LASTING_KEYS = ("_kombu.*", "lmaas:hint:dispatcher")
# A claim that races the end of its worker's lease may be told this much after it.
_RACE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach: of which invariant, by what, and how."""

    invariant: str
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: {self.what}"


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver of webhooks got: the event as its headers and body name it, and
    the state of its job at that moment, as the front door told it; None if it did not."""

    event: str
    type: str
    subject: str
    state_then: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a run at its end. `canaries` are texts that only one
    tenant (its name) ever sent; `redis` is keys and values at rest, and `lasting`
    the patterns of keys that may be there; `logs` by process; `threads` by
    process: how many there are and how many there may be; `told` is all that
    receivers of webhooks got."""

    ledger: Ledger
    history: History = field(default_factory=History)
    redis: Mapping[str, str] = field(default_factory=dict)
    lasting: Sequence[str] = LASTING_KEYS
    logs: Mapping[str, str] = field(default_factory=dict)
    canaries: Mapping[str, str] = field(default_factory=dict)
    told: Sequence[Told] = ()
    threads: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, and the numbers that a report gives."""

    violations: list[Violation]
    accepted: int
    lost: int
    doubled: int
    recovered: int
    stale_rejected: int
    stale_accepted: int
    states: Mapping[str, int]

    def __str__(self) -> str:
        ended = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        head = (
            f"{self.accepted} accepted ({ended or 'none'}): {self.lost} lost, "
            f"{self.doubled} doubled, {self.recovered} recovered, stale writes "
            f"{self.stale_rejected} rejected, {self.stale_accepted} accepted"
        )
        return "\n".join([head, *map(str, self.violations)])

    @property
    def is_guilty(self) -> bool:
        """Whether any invariant was broken."""
        return bool(self.violations)


def check(evidence: Evidence) -> Verdict:
    """The verdict over a run that has come to rest."""
    found = [violation for rule in RULES for violation in rule(evidence)]
    ledger, told = evidence.ledger, evidence.history.told()
    ids = {UUID(id) for id in told} | set(ledger.jobs)
    return Verdict(
        violations=found,
        accepted=len(ids),
        lost=len({v.subject for v in found if v.invariant == "I1" and v.what in _LOSSES}),
        doubled=len({v.subject for v in found if v.what in _DOUBLES}),
        recovered=sum(job.attempt > 1 for job in ledger.jobs.values()),
        stale_rejected=ledger.stale_writes(),
        stale_accepted=sum(v.invariant == "I4" for v in found),
        states=Counter(job.state for job in ledger.jobs.values()),
    )


def check_run(engine: Engine, history: History, **more: object) -> Verdict:
    """Reads the ledger, and fails with the whole verdict if it is guilty."""
    verdict = check(Evidence(read_ledger(engine), history, **more))  # type: ignore[arg-type]
    assert not verdict.is_guilty, f"\n{verdict}"
    return verdict


_BATCH_ENDS = {state.value for state in BATCH_TERMINAL}
_ENDS_OF_A_HOLD = {State.QUEUED.value, *(state.value for state in TERMINAL)}
_GONE = "was accepted and is in no table"
_NOT_ENDED = "has not ended"
_LOSSES = frozenset({_GONE, _NOT_ENDED})
_ENDED_TWICE = "ended more than once"
_TWO_RESULTS = "has more than one result"
_TWO_JOBS = "one key made more than one job"
_UNTOLD = "is a job that no submit accounts for"
_DOUBLES = frozenset({_ENDED_TWICE, _TWO_RESULTS, _TWO_JOBS, _UNTOLD})


def _every_job_ends_once(evidence: Evidence) -> Iterator[Violation]:
    """I1."""
    ledger = evidence.ledger
    for told in evidence.history.told():
        if UUID(told) not in ledger.jobs:
            yield Violation("I1", told, _GONE)
    for id, job in ledger.jobs.items():
        states = ledger.states(id)
        if State(job.state) not in TERMINAL:
            yield Violation("I1", str(id), _NOT_ENDED)
        if sum(state in TERMINAL for state in states) > 1:
            yield Violation("I1", str(id), _ENDED_TWICE)
        if not states or states[0] is not State.QUEUED or states[-1] != job.state:
            yield Violation("I1", str(id), f"is {job.state} and was told {_said(states)}")


def _said(states: Sequence[State]) -> str:
    return " > ".join(states) or "nothing"


def _ends_never_change(evidence: Evidence) -> Iterator[Violation]:
    """I2, as clients saw it and as the ledger has it now."""
    ends: dict[str, Entry] = {}
    for seen in evidence.history.entries(Kind.SEEN):
        if seen.id is not None and seen.state in TERMINAL:
            ends.setdefault(seen.id, seen)
    for seen in evidence.history.entries(Kind.SEEN):
        end = ends.get(seen.id or "")
        if end is not None and seen.state is not None and _contradicts(seen, end):
            yield Violation("I2", str(seen.id), f"ended {end.state}, later {seen.state}")
    for id, end in ends.items():
        job = evidence.ledger.jobs.get(UUID(id))
        if job is not None and (job.state, job.attempt) != (end.state, end.attempt):
            yield Violation("I2", id, f"a client saw {end.state}, the ledger has {job.state}")
    for job_id in evidence.ledger.events:
        for before, after in pairwise(evidence.ledger.states(job_id)):
            if after not in TRANSITIONS[before]:
                yield Violation("I2", str(job_id), f"went from {before} to {after}")


def _contradicts(seen: Entry, end: Entry) -> bool:
    if seen.state in TERMINAL:
        return _outcome(seen) != _outcome(end)
    return seen.began > end.ended


def _outcome(seen: Entry) -> tuple[object, ...]:
    return seen.state, seen.attempt, seen.text, seen.completion_tokens


def _one_result_by_the_winner(evidence: Evidence) -> Iterator[Violation]:
    """I3."""
    ledger = evidence.ledger
    results = Counter(result.job_id for result in ledger.results)
    for id, count in results.items():
        if count > 1:
            yield Violation("I3", str(id), _TWO_RESULTS)
    for result in ledger.results:
        job = ledger.jobs.get(result.job_id)
        if job is None or result.attempt != job.attempt:
            yield Violation("I3", str(result.job_id), f"has the result of attempt {result.attempt}")
    for id, job in ledger.jobs.items():
        if job.state == State.SUCCEEDED and results[id] == 0:
            yield Violation("I3", str(id), "succeeded without a result")
        if job.state == State.SUCCEEDED and job.completion_tokens is None:
            yield Violation("I3", str(id), "succeeded and charges no usage")
    yield from _usage_is_charged_once(ledger)
    yield from _clients_got_what_they_asked_for(evidence)


def _usage_is_charged_once(ledger: Ledger) -> Iterator[Violation]:
    if ledger.usage is None:
        return
    owed: dict[UUID, Counter[str]] = defaultdict(Counter)
    for job in ledger.jobs.values():
        if State(job.state) in TERMINAL:
            written = job.completion_tokens or 0
            read = job.prompt_tokens if written or job.state == State.SUCCEEDED else 0
            owed[job.tenant_id].update(
                {job.state: 1, "prompt_tokens": read, "completion_tokens": written}
            )
    for tenant_id in {*owed, *ledger.usage}:
        charged = ledger.usage.get(tenant_id, Counter())
        if charged != owed[tenant_id]:
            said = f"is charged {dict(charged)} and used {dict(owed[tenant_id])}"
            yield Violation("I3", str(tenant_id), said)


def _clients_got_what_they_asked_for(evidence: Evidence) -> Iterator[Violation]:
    told = evidence.history.told()
    for seen in evidence.history.entries(Kind.SEEN):
        job = evidence.ledger.jobs.get(UUID(seen.id)) if seen.id else None
        if job is None or seen.id is None or seen.state != State.SUCCEEDED:
            continue
        asked = told.get(seen.id)
        if asked is not None and asked.text is not None and seen.text != asked.text:
            yield Violation("I3", seen.id, "has another text than its prompt leads to")
        if seen.completion_tokens != job.completion_tokens:
            yield Violation("I3", seen.id, "was told another usage than it is charged")


def _no_stale_write_counts(evidence: Evidence) -> Iterator[Violation]:
    """I4: what a worker ended it held at that moment, under that attempt."""
    for id, events in evidence.ledger.events.items():
        holder: tuple[UUID | None, int] | None = None
        for event in events:
            if event.kind == State.RUNNING:
                holder = event.worker_id, event.attempt
            elif event.worker_id is not None and (event.worker_id, event.attempt) != holder:
                yield Violation("I4", str(id), f"{event.kind} was written by one not holding it")
            if event.kind in _ENDS_OF_A_HOLD:
                holder = None
        job = evidence.ledger.jobs.get(id)
        if job is not None and job.state == State.SUCCEEDED:
            winner = next((e for e in events if e.kind == State.SUCCEEDED), None)
            if winner is not None and winner.worker_id != job.worker_id:
                yield Violation("I4", str(id), "succeeded by another worker than its row says")


def _one_live_lease_each(evidence: Evidence) -> Iterator[Violation]:
    """I5: attempts one after another, each by a worker with a live lease; only a
    crash alone is charged."""
    for id, events in evidence.ledger.events.items():
        attempts = [event.attempt for event in events if event.kind == State.RUNNING]
        if attempts != list(range(1, len(attempts) + 1)):
            yield Violation("I5", str(id), f"ran as attempts {attempts}")
        job = evidence.ledger.jobs.get(id)
        if job is not None:
            yield from _charges(job, Counter(event.reason for event in events), len(attempts))
        for event in events:
            worker = evidence.ledger.workers.get(event.worker_id) if event.worker_id else None
            if event.kind != State.RUNNING or worker is None:
                continue
            over = worker.ended_at or worker.lease_until
            if not worker.started_at <= event.at <= over + _RACE:
                yield Violation("I5", str(id), f"was claimed by {worker.id} without a lease")


def _charges(job: Job, reasons: Counter[str | None], attempts: int) -> Iterator[Violation]:
    if job.attempt != attempts:
        yield Violation("I5", str(job.id), f"counts {job.attempt} attempts and had {attempts}")
    if job.crashes != reasons["worker_died_alone"]:
        yield Violation("I5", str(job.id), f"is charged with {job.crashes} crashes, "
                        f"died alone {reasons['worker_died_alone']} times")  # fmt: skip


def _batches_account_for_every_line(evidence: Evidence) -> Iterator[Violation]:
    """I6: each line has one job or one error, each id one line, and what clients were
    told adds up at every read."""
    ledger = evidence.ledger
    lines: dict[UUID, list[Line]] = defaultdict(list)
    for line in ledger.lines:
        lines[line.batch_id].append(line)
    jobs = Counter(line.job_id for line in ledger.lines if line.same_as is None and line.job_id)
    for job in ledger.jobs.values():
        if job.batch_id is not None and jobs[job.id] != 1:
            yield Violation("I6", str(job.id), f"is the job of {jobs[job.id]} lines")
    for id, batch in ledger.batches.items():
        own = lines[id]
        refused = sum(line.refused for line in own)
        if batch.status in _BATCH_ENDS and len(own) != batch.lines:
            yield Violation("I6", str(id), f"has {len(own)} lines, {batch.lines} were counted")
        if refused != batch.refused:
            yield Violation("I6", str(id), f"refused {refused} lines and says {batch.refused}")
        names = Counter(line.custom_id for line in own if line.custom_id is not None)
        for name in (name for name, times in names.items() if times > 1):
            yield Violation("I6", str(id), f"has the custom_id {name!r} more than once")
    yield from _counts_add_up(evidence)


def _counts_add_up(evidence: Evidence) -> Iterator[Violation]:
    seen: dict[str, Entry] = {}
    for read in evidence.history.entries(Kind.BATCH):
        if read.counts is None or read.id is None:
            continue
        total, completed, failed = read.counts
        if completed + failed > total:
            yield Violation("I6", read.id, f"counts {completed} + {failed} of {total}")
        if read.state in _BATCH_ENDS and completed + failed != total:
            yield Violation("I6", read.id, f"ended with {completed} + {failed} of {total}")
        before = seen.get(read.id)
        then = before.counts if before is not None and before.ended <= read.began else None
        if then is not None and any(n < was for n, was in zip(read.counts, then, strict=True)):
            yield Violation("I6", read.id, f"counted {then}, then {read.counts}")
        seen[read.id] = read


def _canaries_stay_with_their_tenant(evidence: Evidence) -> Iterator[Violation]:
    """I7."""
    for owner, canary in evidence.canaries.items():
        for key, value in evidence.redis.items():
            if canary in key or canary in value:
                yield Violation("I7", owner, f"a prompt is in Redis under {key!r}")
        for process, log in evidence.logs.items():
            if canary in log:
                yield Violation("I7", owner, f"a prompt is in the log of {process}")
        for seen in evidence.history.entries(Kind.SEEN):
            if seen.tenant != owner and seen.text is not None and canary in seen.text:
                yield Violation("I7", owner, f"a prompt was shown to {seen.tenant}")
        for result in evidence.ledger.results:
            job = evidence.ledger.jobs.get(result.job_id)
            tenant = evidence.ledger.tenants.get(job.tenant_id) if job is not None else None
            if tenant != owner and result.text is not None and canary in result.text:
                yield Violation("I7", owner, f"a prompt is in a result of {tenant}")


def _one_job_for_each_key(evidence: Evidence) -> Iterator[Violation]:
    """I8, and no job that nobody asked for."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    submits = evidence.history.entries(Kind.SUBMIT)
    asked = {(entry.tenant, entry.key) for entry in submits}
    for entry in submits:
        if entry.key is not None and entry.id is not None:
            ids[entry.tenant, entry.key].add(entry.id)
    accounted = set(evidence.history.told())
    for row in evidence.ledger.keys:
        if (row.tenant, row.key) in asked:
            ids[row.tenant, row.key].add(str(row.job_id))
            accounted.add(str(row.job_id))
    for (_, key), made in ids.items():
        if len(made) > 1:
            yield Violation("I8", key, _TWO_JOBS)
    # Without a key, a submit whose answer was lost may have made a job of its own.
    if submits and all(entry.key is not None or entry.id is not None for entry in submits):
        for id, job in evidence.ledger.jobs.items():
            if job.replay_of is None and job.batch_id is None and str(id) not in accounted:
                yield Violation("I8", str(id), _UNTOLD)


def _ends_are_told(evidence: Evidence) -> Iterator[Violation]:
    """I9: of every end that a webhook waits for there is one event for each receiver; it
    was sent if it is marked so, under its own id, and never before the end."""
    ledger = evidence.ledger
    made = Counter((each.lane, each.type, each.subject) for each in ledger.deliveries)
    for (_, kind, subject), count in made.items():
        if count > 1:
            yield Violation("I9", subject, f"has {count} deliveries of {kind} for one receiver")
    about = {each.subject for each in ledger.deliveries}
    for id, job in ledger.jobs.items():
        if job.has_webhook and job.state in TERMINAL and str(id) not in about:
            yield Violation("I9", str(id), "ended, and its webhook has nothing to tell")
    states = {str(id): job.state for id, job in ledger.jobs.items()}
    for each in ledger.deliveries:
        if each.type.startswith("job.") and each.type != f"job.{states.get(each.subject)}":
            yield Violation("I9", each.subject, f"is told as {each.type} and is not that")
    yield from _receivers_heard_the_truth(evidence)


def _receivers_heard_the_truth(evidence: Evidence) -> Iterator[Violation]:
    deliveries = evidence.ledger.deliveries
    events = {(each.type, each.subject): f"evt_{each.event_id.hex}" for each in deliveries}
    for told in evidence.told:
        if events.get((told.type, told.subject)) != told.event:
            yield Violation("I9", told.subject, f"was told under the id {told.event}")
        if told.state_then is not None and f"job.{told.state_then}" != told.type:
            yield Violation("I9", told.subject, f"was told before its end ({told.state_then})")
    heard = {told.event for told in evidence.told}
    for each in deliveries:
        if each.state == "delivered" and f"evt_{each.event_id.hex}" not in heard:
            yield Violation("I9", each.subject, "is marked as told and nobody heard it")


def _acknowledged_cancels_hold(evidence: Evidence) -> Iterator[Violation]:
    """I10."""
    for entry in evidence.history.entries(Kind.CANCEL):
        job = evidence.ledger.jobs.get(UUID(entry.id)) if entry.id else None
        if job is not None and entry.cancel_requested and job.state == State.SUCCEEDED:
            yield Violation("I10", str(job.id), "succeeded after its cancel was acknowledged")
    for id, job in evidence.ledger.jobs.items():
        if job.cancel_requested and job.state == State.SUCCEEDED:
            yield Violation("I10", str(id), "succeeded although its cancel was requested")


def _all_comes_to_rest(evidence: Evidence) -> Iterator[Violation]:
    """I11: no lease over its time, nothing left in Redis, no thread too many."""
    for id, worker in evidence.ledger.workers.items():
        newer = [
            other
            for other in evidence.ledger.workers.values()
            if other.process_id == worker.process_id and other.started_at > worker.started_at
        ]
        if worker.ended_at is None and newer:
            yield Violation("I11", str(id), "holds a lease although its process has a newer one")
    for key in evidence.redis:
        if not any(fnmatch(key, pattern) for pattern in evidence.lasting):
            yield Violation("I11", key, "is left in Redis")
    for process, (count, most) in evidence.threads.items():
        if count > most:
            yield Violation("I11", process, f"has {count} threads, {most} are enough")


def _the_door_says_what_it_can_promise(evidence: Evidence) -> Iterator[Violation]:
    """I12: while Redis alone is away a submit is taken, without Postgres it is a 503."""
    faults = evidence.history.entries(Kind.FAULT)

    def is_away(server: Server, entry: Entry) -> bool:
        """Whether it was away the whole time of the call."""
        return any(f.key == server and f.began <= entry.began and entry.ended <= f.ended
                   for f in faults)  # fmt: skip

    def may_be_away(server: Server, entry: Entry) -> bool:
        return any(f.key == server and f.began < entry.ended and entry.began < f.ended
                   for f in faults)  # fmt: skip

    for entry in evidence.history.entries(Kind.SUBMIT):
        subject, said = entry.id or entry.key or "a submit", entry.status or "no answer"
        if is_away(Server.POSTGRES, entry) and entry.status != 503:
            yield Violation("I12", subject, f"without Postgres the answer was {said}")
        alone = is_away(Server.REDIS, entry) and not may_be_away(Server.POSTGRES, entry)
        if alone and entry.status not in (200, 202):
            yield Violation("I12", subject, f"without Redis the answer was {said}")


RULES: Sequence[Callable[[Evidence], Iterator[Violation]]] = (
    _every_job_ends_once,
    _ends_never_change,
    _one_result_by_the_winner,
    _no_stale_write_counts,
    _one_live_lease_each,
    _batches_account_for_every_line,
    _canaries_stay_with_their_tenant,
    _one_job_for_each_key,
    _ends_are_told,
    _acknowledged_cancels_hold,
    _all_comes_to_rest,
    _the_door_says_what_it_can_promise,
)
