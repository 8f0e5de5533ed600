"""From the lines of a batch's file to rows: each gets a job, or an error of its own."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol
from uuid import UUID

from jobs.batches.envelopes import Fault, TakenLine
from jobs.batches.lifecycle import Standing
from jobs.batches.states import BatchState
from jobs.envelopes import NewJob
from jobs.keys import Principal, Scope
from routing.openai import batch_lines
from routing.openai.batch_lines import BadLine, Line, answer_fault, line_fault
from routing.openai.batch_outputs import CANCELLED, EXPIRED
from routing.problems import Problem
from routing.request_router import RequestRouter

# What a line may have beside its body.
_ENVELOPE_BYTES = 16_000

Read = Line | BadLine


class Asker(Protocol):
    """What of a batch its lines are routed by."""

    @property
    def id(self) -> UUID: ...  # noqa: D102
    @property
    def tenant_id(self) -> UUID: ...  # noqa: D102
    @property
    def endpoint(self) -> str: ...  # noqa: D102
    @property
    def client_address(self) -> str: ...  # noqa: D102


class LineRouter:
    """See the module. `max_body_bytes` is what the front door takes."""

    def __init__(self, router: RequestRouter, max_body_bytes: int) -> None:
        self._router = router
        self._max_body_bytes = max_body_bytes
        self.most_line_bytes = max_body_bytes + _ENVELOPE_BYTES

    def read(self, data: bytes | None, endpoint: str) -> Read:
        """The request in a line, or why there is none; None is a line that is too long."""
        if data is None:
            return BadLine(
                "line_too_long", f"the line is longer than {self.most_line_bytes:,} bytes"
            )
        try:
            return batch_lines.read(data, endpoint)
        except BadLine as bad:
            return bad

    def taken(
        self, batch: Asker, lines: Sequence[tuple[int, Read]], now: Standing
    ) -> list[TakenLine]:
        """Rows of the lines, by their numbers; of two with one custom_id the first has it.
        Raises what may be otherwise at the next try, such as `DatabaseUnavailable`."""
        used = set(now.known)
        # Its owner's rights were checked when the batch was made.
        asking = Principal(batch.tenant_id, batch.id, frozenset({Scope.JOBS}))
        over = _over(now)
        made = []
        for number, line in lines:
            if line.custom_id in used:
                made.append(TakenLine(number, None, fault=_doubled(line.custom_id)))
                continue
            if line.custom_id is not None:
                used.add(line.custom_id)
            if isinstance(line, BadLine):
                made.append(TakenLine(number, line.custom_id, fault=line.fault))
            elif over is not None:
                made.append(TakenLine(number, line.custom_id, fault=over))
            else:
                made.append(self._routed(batch, asking, number, line))
        return made

    def _routed(self, batch: Asker, asking: Principal, number: int, line: Line) -> TakenLine:
        if len(line.body) > self._max_body_bytes:
            return TakenLine(number, line.custom_id, fault=self._too_large())
        found = batch_lines.route(self._router, asking, line, batch.endpoint, batch.client_address)
        if isinstance(found, NewJob):
            return TakenLine(number, line.custom_id, job=found)
        return TakenLine(number, line.custom_id, fault=found)

    def _too_large(self) -> Fault:
        # As the front door says it.
        return answer_fault(
            Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body is larger than {self._max_body_bytes:,} bytes; send less, or several "
                "jobs",
                "body_too_large",
            )
        )


def _over(now: Standing) -> Fault | None:
    """Why no line is run any more."""
    if now.status == BatchState.CANCELLING:
        return CANCELLED
    return EXPIRED if now.over else None


def _doubled(custom_id: str | None) -> Fault:
    shown = (custom_id or "")[:64]
    return line_fault(
        "duplicate_custom_id",
        f"an earlier line has the `custom_id` {shown!r}; this line was not run",
        "custom_id",
    )
