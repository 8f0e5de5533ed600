"""/v1/uploads: files that come in parts."""

import time
from uuid import UUID

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from api import auth, presentation, transfers
from api.admission import check_body, check_storage
from api.form_document import document_form
from api.openai import file_answers
from api.openai.file_answers import UploadObject, UploadPartObject
from api.openai.file_requests import CompleteRequest, PartForm, UploadPath, UploadRequest
from api.services import Services
from files_store import upload_parts, uploads
from files_store.drafts import draft
from files_store.stored_file import Purpose
from files_store.uploads import PREFIX, Upload
from jobs.content_errors import FileTooLarge
from jobs.errors import InvalidRequest
from jobs.keys import Scope

_PART = "part_"


def add_routes(routes: APIBlueprint, services: Services) -> None:
    """Adds them to a blueprint."""
    engine, contents = services.engine, services.contents

    @routes.post("/uploads", summary="Begin an upload (OpenAI)", responses={200: UploadObject})
    def create_upload(body: UploadRequest) -> Response:
        asking = auth.require(Scope.BATCHES)
        settings = services.settings
        is_batch = body.purpose == Purpose.BATCH.value
        most = settings.max_file_bytes if is_batch else settings.max_upload_bytes
        if body.bytes > most:
            raise FileTooLarge(f"more than {most:,} bytes are not taken", param="bytes")
        check_storage(services, asking, body.bytes)
        begun = uploads.open_upload(
            engine,
            asking.tenant_id,
            purpose=body.purpose,
            filename=body.filename,
            mime_type=body.mime_type,
            size_bytes=body.bytes,
            expires_after_s=body.expires_after.seconds if body.expires_after else None,
        )
        return presentation.answer(file_answers.upload(begun))

    @routes.post(
        "/uploads/<upload_id>/parts", summary="Bring a part of an upload (OpenAI)",
        responses={200: UploadPartObject},
    )  # fmt: skip
    def add_upload_part(path: UploadPath) -> Response:
        upload = _found(services, path)
        check_body(services, auth.principal(), request.content_length)
        most = upload_parts.MOST_PART_BYTES
        with (
            services.transfers.one(request.environ),
            draft(engine, contents, upload.tenant_id, most) as made,
        ):
            form = transfers.receive(request, "data", made, most)
            if form.fields:
                raise InvalidRequest("the form of a part has one field: 'data'")
            made.close()
            check_storage(services, auth.principal(), made.size_bytes)
            part_id = upload_parts.add_part(engine, upload, made)
        body = {"id": f"{_PART}{part_id.hex}", "object": "upload.part",
                "created_at": int(time.time()), "upload_id": path.upload_id}  # fmt: skip
        return presentation.answer(body)

    @routes.post(
        "/uploads/<upload_id>/complete", summary="Make a file of an upload's parts (OpenAI)",
        responses={200: UploadObject},
    )  # fmt: skip
    def complete_upload(path: UploadPath, body: CompleteRequest) -> Response:
        upload = _found(services, path)
        part_ids = [_part_id(text) for text in body.part_ids]
        with services.transfers.one({}):
            made = upload_parts.complete(engine, contents, upload, part_ids, body.md5)
        now = uploads.get(engine, upload.tenant_id, upload.id)
        return presentation.answer(file_answers.upload(now, made))

    @routes.post(
        "/uploads/<upload_id>/cancel", summary="Give an upload up (OpenAI)",
        responses={200: UploadObject},
    )  # fmt: skip
    def cancel_upload(path: UploadPath) -> Response:
        upload = _found(services, path)
        uploads.end(engine, contents, upload, "cancelled")
        now = uploads.get(engine, upload.tenant_id, upload.id)
        return presentation.answer(file_answers.upload(now))

    document_form(routes, "/v1/uploads/{upload_id}/parts", PartForm)


def _found(services: Services, path: UploadPath) -> Upload:
    tenant_id = auth.require(Scope.BATCHES).tenant_id
    id = _hex(path.upload_id, PREFIX)
    if id is None:
        raise uploads.unknown(path.upload_id)
    return uploads.get(services.engine, tenant_id, id)


def _part_id(text: str) -> UUID:
    id = _hex(text, _PART)
    if id is None:
        raise InvalidRequest(f"{text!r} is not a part of this upload", param="part_ids")
    return id


def _hex(text: str, prefix: str) -> UUID | None:
    number = text.removeprefix(prefix)
    if number == text or len(number) != 32:
        return None
    try:
        return UUID(hex=number)
    except ValueError:
        return None
