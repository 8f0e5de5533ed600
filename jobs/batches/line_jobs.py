"""Lines of batches becoming jobs, and ending with their batch; used by the Task
Manager alone."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs.batches import line_statements
from jobs.batches.envelopes import Chunk, TakenLine
from jobs.database import run
from jobs.envelopes import NewJob
from jobs.states import CLASS_OFFSET_S

_MOST_CANCELLED = 2_000


def submit(engine: Engine, chunk: Chunk, lease_s: float) -> bool:
    """See `TaskManager.submit_many`."""
    values = {
        "id": chunk.batch_id,
        "taken_by": chunk.taken_by,
        "lease_s": lease_s,
        "status": chunk.status,
        "start_bytes": chunk.start.bytes,
        "end_bytes": chunk.end.bytes,
        "end_line": chunk.end.line,
        "ended": chunk.ended,
    }
    return bool(run(engine, line_statements.SUBMIT_LINES, values | columns(chunk.lines)))


def columns(lines: Sequence[TakenLine]) -> dict[str, Any]:
    """Lines and their jobs as the statements take them."""
    jobs = [line.job for line in lines if line.job is not None]
    return {
        "refused": sum(line.fault is not None for line in lines),
        "offsets_s": json.dumps({name.value: s for name, s in CLASS_OFFSET_S.items()}),
        **_jobs(jobs),
        **_lines(lines),
    }


def _jobs(jobs: Sequence[NewJob]) -> dict[str, list[Any]]:
    """Jobs as one array for each column, for `unnest`."""
    return {
        "ids": [job.id for job in jobs],
        "tasks": [job.task for job in jobs],
        "models": [job.model for job in jobs],
        "versions": [job.version for job in jobs],
        "prompt_tokens": [job.prompt_tokens for job in jobs],
        "max_tokens": [job.max_tokens for job in jobs],
        "max_attempts": [job.max_attempts for job in jobs],
        "estimates_s": [job.times.estimate_s for job in jobs],
        "inputs": [json.dumps(job.input) for job in jobs],
        "parameters": [json.dumps(job.parameters) for job in jobs],
        "labels": [json.dumps(job.labels) for job in jobs],
        "asked": [None if job.asked is None else json.dumps(job.asked) for job in jobs],
    }


def _lines(lines: Sequence[TakenLine]) -> dict[str, list[Any]]:
    return {
        "lines": [line.line for line in lines],
        "custom_ids": [line.custom_id for line in lines],
        "job_ids": [line.same_job if line.job is None else line.job.id for line in lines],
        "faults": [None if line.fault is None else json.dumps(dict(line.fault)) for line in lines],
        "same_as": [line.same_as for line in lines],
        "digests": [line.digest for line in lines],
    }


def cancel(engine: Engine) -> tuple[list[UUID], bool]:
    """See `TaskManager.cancel_lines`."""
    rows = run(engine, line_statements.CANCEL_LINES, {"most": _MOST_CANCELLED})
    return [row.job_id for row in rows], len(rows) >= _MOST_CANCELLED
