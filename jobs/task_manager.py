"""The Task Manager: creates jobs and is the only writer of a job's state.

Every method is one transaction and returns what is committed. Workers write
through the fence (id, attempt, worker, running); what a stale worker sends is
discarded, and the caller learns which writes were.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs import deletions, replays, statements, worker_statements
from jobs.audit import Actor
from jobs.batches.task_lines import TaskLines
from jobs.database import run, transact
from jobs.envelopes import (
    Accepted,
    ClaimedJob,
    FlowKey,
    HeldRow,
    Idempotency,
    NewJob,
    Outcome,
    Released,
)
from jobs.erasure import Erasing
from jobs.errors import IdempotencyConflict
from jobs.job_views import JobFilter
from jobs.outcome_columns import columns
from jobs.replays import Replay
from jobs.shares import releases
from jobs.states import CLASS_OFFSET_S, State

# A job that was alone in the engine when its worker died, this often, is dead.
MAX_CRASHES = 3
# And whatever ends its leases, a job is not begun without end.
MOST_ATTEMPTS = 25

# Between two attempts after an error: doubled each time, give or take a half.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0


class TaskManager(TaskLines, Erasing):
    """See the module, and `TaskLines` for lines of batches. All methods raise
    `DatabaseUnavailable` when Postgres is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, job: NewJob, idempotency: Idempotency | None = None) -> Accepted:
        """Accepts a job; on return it is durable. With the idempotency key of an
        earlier job of this tenant: that job's id, and nothing is added.

        Raises `IdempotencyConflict` if the key came with another body before.
        """
        values = _values(job)
        if idempotency is None:
            rows = run(self._engine, statements.SUBMIT, values)
            return Accepted(job.id, *rows[0]) if rows else Accepted(job.id)
        values |= {"key": idempotency.key, "body_sha256": idempotency.body_sha256}
        rows = run(self._engine, statements.SUBMIT_ONCE, values)
        if rows:
            return Accepted(job.id, *rows[0])
        known = self.recall(job.tenant_id, idempotency)
        # None: the key was forgotten between the two looks, so now it is new.
        return self.submit(job, idempotency) if known is None else Accepted(known)

    def recall(self, tenant_id: UUID, idempotency: Idempotency) -> UUID | None:
        """The job that a known key made. Raises `IdempotencyConflict`."""
        values = {"tenant_id": tenant_id, "key": idempotency.key}
        known = next(iter(run(self._engine, statements.RECALL_KEY, values)), None)
        if known is None:
            return None
        if bytes(known.body_sha256) != idempotency.body_sha256:
            raise IdempotencyConflict(
                "this Idempotency-Key was used before with another body; "
                "use a new key for a new job",
                param="Idempotency-Key",
            )
        return UUID(str(known.job_id))

    def replay(
        self, tenant_id: UUID, job_id: UUID, client_address: str, by: Actor | None = None
    ) -> UUID | None:
        """Runs a finished job's input again as a new job; returns its id, or
        None if there is no such job of this tenant that has ended."""
        return replays.replay_one(self._engine, tenant_id, job_id, client_address, by)

    def replay_many(
        self, tenant_id: UUID, wanted: JobFilter, client_address: str, *,
        dry: bool, by: Actor | None = None,
    ) -> Sequence[Replay]:  # fmt: skip
        """The same for the jobs that a filter means (`jobs.replays`)."""
        return transact(
            self._engine,
            lambda c: replays.replay(c, tenant_id, wanted, client_address, dry=dry, by=by),
        )

    def cancel(self, tenant_id: UUID, job_id: UUID) -> str | None:
        """Asks for the end of a job: `cancelled` if it was waiting, then it is
        over; `cancel_requested` if it runs; `None` if there was nothing to do."""
        rows = run(self._engine, statements.CANCEL, {"id": job_id, "tenant_id": tenant_id})
        return str(rows[0].kind) if rows else None

    def release(
        self,
        model: str,
        version: int,
        *,
        target: int,
        least: int = 2,
        among: Sequence[FlowKey] | None = None,
    ) -> Released:
        """Lets the best waiting jobs of a model version through, as far as they
        are among the best `target` that wait or are released, looking at that
        many of each flow at `least`. `among` are the flows to look at, those that
        were given least first (default: those found first). Nothing if another
        dispatcher decided meanwhile."""
        return releases.release(self._engine, (model, version), target, least, among)

    def waiting_flows(self, model: str, version: int) -> dict[FlowKey, float]:
        """All flows with waiting jobs, and their virtual times."""
        return releases.waiting_flows(self._engine, (model, version))

    def settle(self) -> int:
        """Counts what ended since the last call: flows get back what they were
        charged too much, estimates are learned. Returns how many jobs that were."""
        return releases.settle(self._engine)

    def claim(self, worker_id: UUID, model: str, version: int, free: int) -> list[ClaimedJob]:
        """Takes the best released jobs of a model version, at most `free`.
        Nothing if the worker's lease is over."""
        values = {"model": model, "version": version, "worker_id": worker_id, "free": free}
        rows = run(self._engine, worker_statements.CLAIM, values)
        return [
            ClaimedJob(r.id, r.tenant_id, r.task, r.attempt, r.input, r.parameters, r.stream)
            for r in rows
        ]

    def finish(self, worker_id: UUID, outcomes: Sequence[Outcome]) -> dict[UUID, State]:
        """Commits results and terminal states, with events and usage, in one
        transaction. Returns the state of every job this worker ended; an id
        that is missing was a stale write and was discarded. A success whose
        cancel was requested is committed as `cancelled` with its text; a
        retryable failure goes back to the queue, after a pause."""
        values = columns(outcomes) | {
            "worker_id": worker_id,
            "pause_s": _PAUSE_S,
            "longest_pause_s": _LONGEST_PAUSE_S,
        }
        rows = run(self._engine, worker_statements.FINISH, values)
        return {row.id: State(row.state) for row in rows}

    def give_back(self, worker_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
        """Returns running jobs to the queue without a charge; their partial
        work is dropped. Returns those that this worker still held."""
        rows = run(
            self._engine, worker_statements.GIVE_BACK, {"ids": list(ids), "worker_id": worker_id}
        )
        return [row.id for row in rows]

    def reclaim(self) -> dict[UUID, State]:
        """Takes jobs from workers whose lease is over: back to the queue (as
        suspects if the worker died), or to `failed` once a job was alone in
        `MAX_CRASHES` dead ones. Safe in several processes at once."""
        rows = run(
            self._engine,
            worker_statements.RECLAIM,
            {"max_crashes": MAX_CRASHES, "most_attempts": MOST_ATTEMPTS},
        )
        return {row.id: State(row.state) for row in rows}

    def expire(self) -> list[UUID]:
        """Ends waiting jobs whose time is over. Safe in several processes at once."""
        return [row.id for row in run(self._engine, statements.EXPIRE, {})]

    def fail_deleted(self, model: str, version: int) -> list[UUID]:
        """Ends some waiting jobs of a deleted model version (`jobs.deletions`)."""
        return deletions.fail_waiting(self._engine, model, version)

    def held(self, worker_id: UUID) -> dict[UUID, HeldRow]:
        """The jobs that this worker holds, as Postgres sees it."""
        rows = run(self._engine, worker_statements.HELD, {"worker_id": worker_id})
        return {row.id: HeldRow(row.attempt, row.cancel_requested, row.overdue) for row in rows}


def _values(job: NewJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "tenant_id": job.tenant_id,
        "task": job.task,
        "model": job.model,
        "version": job.version,
        "priority": job.priority.value,
        "client_address": job.client_address,
        "offset_s": CLASS_OFFSET_S[job.priority],
        "prompt_tokens": job.prompt_tokens,
        "max_tokens": job.max_tokens,
        "input": json.dumps(job.input),
        "parameters": json.dumps(job.parameters),
        "labels": json.dumps(job.labels),
        "asked": None if job.asked is None else json.dumps(job.asked),
        "webhook": None if job.webhook is None else json.dumps(job.webhook),
        "max_attempts": job.max_attempts,
        "stream": job.stream,
        "run_at": job.times.run_at,
        "expires_after_s": job.times.expires_after_s,
        "deadline": job.times.deadline,
        "estimate_s": job.times.estimate_s,
    }
