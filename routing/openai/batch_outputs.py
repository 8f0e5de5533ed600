"""The lines of a batch's output and error files."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from jobs.batches.output_rows import OutputRow, Which, rows
from jobs.content_errors import JobErased
from jobs.json_lines import json_line
from jobs.states import State
from routing.openai.batch_lines import line_fault
from routing.openai.endpoints import ENDPOINTS
from routing.openai.problems import of_ended
from routing.problems import of_error

# In OpenAI's words, for lines that did not come to an answer.
CANCELLED = line_fault("batch_cancelled", "the batch was cancelled before this line had ended")
EXPIRED = line_fault("batch_expired", "the batch's window was over before this line had ended")


def output_line(batch_id: UUID, endpoint: str, row: OutputRow) -> dict[str, Any]:
    """A line that has ended, as the files hold it."""
    # Of lines that share a job each has an id of its own all the same.
    shares = row.view is None or row.same_as is not None
    number = f"{batch_id.hex}_{row.line}" if shares or row.view is None else row.view.id.hex
    made: dict[str, Any] = {
        "id": f"batch_req_{number}",
        "custom_id": row.custom_id,
        "response": None,
        "error": None,
    }
    fault = row.fault
    if row.view is not None and row.view.state == State.CANCELLED:
        fault = CANCELLED
    elif row.view is not None and row.view.state == State.EXPIRED:
        fault = EXPIRED
    if fault is not None and "error" in fault:
        return made | {"error": {**fault["error"], "line": row.line}}
    return made | {"response": {"request_id": f"req_{number}"} | _response(endpoint, row)}


def _response(endpoint: str, row: OutputRow) -> dict[str, Any]:
    if row.view is None:
        return dict((row.fault or {})["response"])
    if row.view.state == State.SUCCEEDED and row.view.erased_at is None:
        body = ENDPOINTS[endpoint].answer(row.view, row.asked, row.echoed)
        return {"status_code": 200, "body": body}
    if row.view.state == State.SUCCEEDED:
        problem = of_error(JobErased(f"the content of job {row.view.id} was erased"))
        return {"status_code": int(problem.status), "body": problem.body}
    problem = of_ended(row.view)
    return {"status_code": int(problem.status), "body": problem.body}


def lines(
    engine: Engine, batch_id: UUID, endpoint: str, which: Which, *, after: int = 0
) -> Iterator[tuple[int, bytes]]:
    """Line numbers and lines of a file, with their ends. With `Which.ENDED` also of a
    batch that still runs: up to its first open line, to go on from there later."""
    for page in rows(engine, batch_id, which, after=after):
        for row in page:
            yield row.line, json_line(output_line(batch_id, endpoint, row)) + b"\n"
