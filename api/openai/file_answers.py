"""What the routes of files and uploads answer; the shapes of `openai.types` (3.52)."""

from collections.abc import Mapping
from typing import Any, Literal

from api.result_schemas import Answer
from files_store.catalog import Page, StoredFile
from files_store.uploads import Upload, upload_name


class FileObject(Answer):
    """A file. `status` says nothing more than that it is there."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"]
    status_details: None = None


class FileList(Answer):
    """A page of files; the next one comes `after` its `last_id`."""

    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Answer):
    """The file is gone."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class UploadObject(Answer):
    """A file that comes in parts; `file` once it is complete."""

    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None


class UploadPartObject(Answer):
    """A part of an upload."""

    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str


def file(shown: StoredFile) -> dict[str, Any]:
    """A file as `FileObject` says."""
    return {
        "id": shown.name,
        "object": "file",
        "bytes": shown.size_bytes,
        "created_at": int(shown.created_at.timestamp()),
        "expires_at": None if shown.expires_at is None else int(shown.expires_at.timestamp()),
        "filename": shown.filename,
        "purpose": shown.purpose,
        "status": "processed",
        "status_details": None,
    }


def files(page: Page) -> Mapping[str, Any]:
    """A page of files as `FileList` says."""
    return {
        "object": "list",
        "data": [file(shown) for shown in page.files],
        "first_id": page.files[0].name if page.files else None,
        "last_id": page.files[-1].name if page.files else None,
        "has_more": page.more,
    }


def deleted(shown_id: str) -> dict[str, Any]:
    """A deletion as `FileDeleted` says."""
    return {"id": shown_id, "object": "file", "deleted": True}


def upload(shown: Upload, made: StoredFile | None = None) -> dict[str, Any]:
    """An upload as `UploadObject` says."""
    return {
        "id": upload_name(shown.id),
        "object": "upload",
        "bytes": shown.size_bytes,
        "created_at": int(shown.created_at.timestamp()),
        "expires_at": int(shown.expires_at.timestamp()),
        "filename": shown.filename,
        "purpose": shown.purpose,
        "status": shown.state,
        "file": None if made is None else file(made),
    }
