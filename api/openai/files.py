"""/v1/files: bring, list, read, delete."""

from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import quote

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.media_type import MediaType
from flask_openapi3.models.schema import Schema
from pydantic import TypeAdapter, ValidationError

from api import auth, job_requests, presentation, transfers
from api.admission import check_body, check_storage
from api.form_document import document_form
from api.openai import file_answers
from api.openai.file_answers import FileDeleted, FileList, FileObject
from api.openai.file_requests import FileForm, FileListQuery, Filename, FilePath
from api.openai.refusals import Refusal
from api.services import Services
from files_store import catalog
from files_store.catalog import StoredFile, file_id
from files_store.drafts import draft
from jobs.errors import InvalidRequest
from jobs.keys import Scope
from routing.openai import problems

_FILENAME = TypeAdapter(Filename)
_BYTES: dict[str | int | HTTPStatus, Any] = {
    "200": {
        "description": "the bytes",
        "content": {
            "application/octet-stream": MediaType(schema=Schema(type="string", format="binary"))
        },
    }
}


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds them to a blueprint."""
    engine, contents = services.engine, services.contents

    @routes.post("/files", summary="Bring a file (OpenAI)", responses={200: FileObject})
    def create_file() -> Response:
        asking = auth.require(Scope.BATCHES)
        tenant_id, most = asking.tenant_id, services.settings.max_file_bytes
        check_body(services, asking, request.content_length)
        with (
            services.transfers.one(request.environ),
            draft(engine, contents, tenant_id, most) as made,
        ):
            form = transfers.receive(request, "file", made, most)
            asked = _asked(form.fields)
            filename = _filename(form.filename)
            made.close()
            check_storage(services, asking, made.size_bytes)
            key = job_requests.idempotency(_said(asked, filename, made.sha256))
            kept = catalog.keep(
                engine, made, tenant_id=tenant_id, purpose=asked.purpose, filename=filename,
                expires_after_s=asked.life_s, key=key,
            )  # fmt: skip
        return presentation.answer(file_answers.file(kept))

    @routes.get("/files", summary="List files (OpenAI)", responses={200: FileList})
    def list_files(query: FileListQuery) -> Response:
        asking = auth.require(Scope.BATCHES)
        with problems.named({"file_id": "after"}):
            page = catalog.list_files(
                engine,
                asking.tenant_id,
                after=file_id(query.after) if query.after else None,
                limit=query.limit,
                newest_first=query.order == "desc",
                purpose=query.purpose,
            )
        return presentation.answer(file_answers.files(page))

    @routes.get("/files/<file_id>", summary="Read of a file (OpenAI)", responses={200: FileObject})
    def read_file(path: FilePath) -> Response:
        found = catalog.get(engine, auth.require(Scope.BATCHES).tenant_id, file_id(path.file_id))
        return presentation.answer(file_answers.file(found))

    @routes.delete(
        "/files/<file_id>", summary="Erase a file (OpenAI)", responses={200: FileDeleted}
    )
    def delete_file(path: FilePath) -> Response:
        id = file_id(path.file_id)
        catalog.delete(engine, contents, auth.require(Scope.BATCHES).tenant_id, id)
        return presentation.answer(file_answers.deleted(path.file_id))

    @routes.get("/files/<file_id>/content", summary="Read a file (OpenAI)", responses=_BYTES)
    def file_content(path: FilePath) -> Response:
        found = catalog.get(engine, auth.require(Scope.BATCHES).tenant_id, file_id(path.file_id))
        with ExitStack() as held:
            held.enter_context(services.transfers.one(request.environ))
            stream = held.enter_context(catalog.read(engine, contents, found))
            response = Response(_pieces(stream), headers=_headers(found))
            response.call_on_close(held.pop_all().close)
        return response

    document_form(routes, "/v1/files", FileForm)


def _said(asked: FileForm, filename: str, sha256: bytes) -> bytes:
    """What a file's Idempotency-Key is bound to."""
    return b"\n".join((asked.model_dump_json().encode(), filename.encode(), sha256))


def _asked(fields: dict[str, str]) -> FileForm:
    try:
        return FileForm.model_validate(fields)
    except ValidationError as error:
        raise Refusal(problems.of_validation(error)) from error


def _filename(text: str) -> str:
    try:
        return _FILENAME.validate_python(text)
    except ValidationError as error:
        raise InvalidRequest(
            "the file's name must have 1 to 512 characters, and no NUL among them", param="file"
        ) from error


def _headers(file: StoredFile) -> dict[str, str]:
    """Of a download: a browser saves it, whatever it holds and is called."""
    plain = "".join(
        c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in file.filename
    )
    named_so = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file.filename, safe='')}"
    return {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(file.size_bytes),
        "Content-Disposition": named_so,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(transfers.PIECE_BYTES):
        yield piece
