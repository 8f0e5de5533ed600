"""Equal lines of a batch: run once, answered to all, where the answer must be the same."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Engine, text

from jobs.batches.envelopes import TakenLine
from jobs.database import run
from jobs.envelopes import NewJob

_KNOWN = text("""
SELECT digest, line, job_id FROM batch_lines
WHERE batch_id = :batch_id AND digest = ANY(CAST(:digests AS bytea[])) AND same_as IS NULL
ORDER BY line DESC
""")


def digest_of(job: NewJob) -> bytes | None:
    """What jobs of one outcome have in common; None for one that is sampled."""
    if job.parameters.get("temperature", 0) != 0:
        return None
    asks = [job.task, job.model, job.version, job.input, job.parameters, job.labels, job.asked]
    # The order of a schema's properties is that of the answer's.
    form = json.dumps(job.parameters.get("response_format"))
    return hashlib.sha256((json.dumps(asks, sort_keys=True) + form).encode()).digest()


def joined(engine: Engine, batch_id: UUID, lines: Sequence[TakenLine]) -> list[TakenLine]:
    """The lines, those that are like an earlier one of the batch with that one's job."""
    digests = [None if line.job is None else digest_of(line.job) for line in lines]
    values = {"batch_id": batch_id, "digests": [one for one in digests if one is not None]}
    known = {bytes(row.digest): (row.line, row.job_id) for row in run(engine, _KNOWN, values)}
    made = []
    for line, digest in zip(lines, digests, strict=True):
        if line.job is None or digest is None:
            made.append(line)
        elif digest in known:
            number, job_id = known[digest]
            made.append(replace(line, job=None, same_as=number, same_job=job_id))
        else:
            known[digest] = (line.line, line.job.id)
            made.append(replace(line, digest=digest))
    return made
