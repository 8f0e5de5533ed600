"""Single lines of a batch: appended while it is open, ended one by one."""

from codecs import BOM_UTF8
from uuid import UUID

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.media_type import MediaType
from flask_openapi3.models.request_body import RequestBody
from flask_openapi3.models.schema import Schema
from pydantic import Field

from api import auth, job_requests, presentation
from api.admission import admit_lines
from api.openai.batch_answers import BatchAnswer
from api.openai.batch_lookup import found
from api.openai.batch_shapes import batch
from api.queries import Parameters
from api.schemas import ErrorAnswer
from api.services import Services
from jobs.batch_errors import BatchClosed, LineShared, TooManyLines, UnknownLine
from jobs.batches import equals, steering
from jobs.batches.envelopes import TakenLine
from jobs.batches.lifecycle import Standing
from jobs.batches.names import batch_id
from jobs.batches.views import BatchView
from jobs.errors import InvalidRequest
from jobs.keys import Scope
from routing.openai.batch_lines import BadLine
from routing.openai.line_router import LineRouter

# Each is routed while the client waits.
_MOST_AT_ONCE = 1_000
_LINES = RequestBody(
    required=True,
    content={"application/jsonl": MediaType(schema=Schema(type="string"))},
    description=f"request lines as in a batch's file, {_MOST_AT_ONCE:,} at most",
)


class AppendPath(Parameters):
    """The id of a batch."""

    batch_id: str


class LinePath(Parameters):
    """A line of a batch."""

    batch_id: str
    line: str = Field(max_length=512)


class LineQuery(Parameters):
    """How the line is named."""

    by: str = Field(default="custom_id", pattern="^(custom_id|line)$")


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds them to a blueprint."""
    router = LineRouter(services.router, services.settings.max_body_bytes)

    @routes.post(
        "/batches/<batch_id>/lines",
        summary="Append lines to an open batch; ids that it has are passed over",
        responses={200: BatchAnswer, 409: ErrorAnswer},
        openapi_extensions={"requestBody": _LINES.model_dump(by_alias=True, exclude_none=True)},
    )
    def append_lines(path: AppendPath) -> Response:
        asking = auth.require(Scope.BATCHES)
        tenant_id = asking.tenant_id
        view = found(services.engine, tenant_id, batch_id(path.batch_id))
        if not view.open:
            raise BatchClosed("the batch takes no more lines; create it with `open`, and append "
                              "before it is closed")  # fmt: skip
        raw = _split(request.get_data())
        taken = _taken(services, router, view, raw)
        admit_lines(services, asking, [line.job for line in taken if line.job is not None])
        services.task_manager.append_lines(tenant_id, view.id, taken, raw)
        services.hints.wake_dispatcher()
        return presentation.answer(batch(found(services.engine, tenant_id, view.id)))

    @routes.post(
        "/batches/<batch_id>/lines/<path:line>/cancel",
        summary="Cancel one line of a batch, by its custom_id or its number",
        responses={200: BatchAnswer, 409: ErrorAnswer},
    )
    def cancel_line(path: LinePath, query: LineQuery) -> Response:
        tenant_id = auth.require(Scope.BATCHES).tenant_id
        id = batch_id(path.batch_id)
        view = found(services.engine, tenant_id, id)
        job_id = _job_of(services, view, path.line, query.by)
        if job_id is not None:
            job_requests.cancel(services, tenant_id, job_id)
        return presentation.answer(batch(found(services.engine, tenant_id, id)))


def _split(body: bytes) -> list[bytes]:
    # A file may begin with UTF-8's byte order mark as well.
    lines = [line for line in body.removeprefix(BOM_UTF8).split(b"\n") if line.strip()]
    if not lines:
        raise InvalidRequest("the body holds no line; send request lines, one JSON object each")
    if len(lines) > _MOST_AT_ONCE:
        raise TooManyLines(f"{len(lines):,} lines are more than the {_MOST_AT_ONCE:,} that can "
                           "be appended at once; send several bodies")  # fmt: skip
    return lines


def _taken(
    services: Services, router: LineRouter, view: BatchView, raw: list[bytes]
) -> list[TakenLine]:
    read = [router.read(line, view.endpoint) for line in raw]
    seen: set[str] = set()
    for number, line in enumerate(read, 1):
        if isinstance(line, BadLine) and line.custom_id is None:
            raise InvalidRequest(f"line {number}: {line.fault['error']['message']}; nothing of "
                                 "this body was taken", param="body")  # fmt: skip
        if line.custom_id in seen:
            raise InvalidRequest(f"line {number} repeats a custom_id of this body; nothing of it "
                                 "was taken", param="body")  # fmt: skip
        seen.add(line.custom_id or "")
    now = Standing(view.status, over=False, at=0, mine=True, known=frozenset())
    taken = router.taken(view, list(enumerate(read, 1)), now)
    return equals.joined(services.engine, view.id, taken) if view.dedupe else taken


def _job_of(services: Services, view: BatchView, name: str, by: str) -> UUID | None:
    """The job of a line; None if it was refused. Raises `UnknownLine` or `LineShared`."""
    number = int(name) if by == "line" and name.isdecimal() and len(name) < 10 else None
    rows = steering.find_line(
        services.engine, view.tenant_id, view.id,
        custom_id=name if by == "custom_id" else None, line=number,
    )  # fmt: skip
    if not rows:
        raise UnknownLine(f"the batch has no line {name[:64]!r} (or not yet)", param=by)
    if rows[0].shared:
        raise LineShared("other lines of the batch are equal and share its run; cancel the batch")
    job_id: UUID | None = rows[0].job_id
    return job_id
