"""Errors of files and of content that was erased; a branch of the tree in `jobs.errors`."""

from collections.abc import Mapping

from jobs.errors import InvalidRequest, LmaasError


class UnknownFile(LmaasError):
    """No such file for this tenant."""

    code = "file_not_found"


class FileGone(LmaasError):
    """The file was deleted or has expired."""

    code = "file_gone"


class FileTooLarge(InvalidRequest):
    """The file has more bytes than are taken."""

    code = "file_too_large"


class FileLost(LmaasError):
    """The bytes of a file are not where they should be."""

    code = "file_lost"


class StorageFull(LmaasError):
    """The storage for files has no room; nothing of the file was kept."""

    code = "storage_full"


class StorageUnavailable(LmaasError):
    """The storage for files does not answer."""

    code = "storage_unavailable"
    retryable = True


class UnknownUpload(LmaasError):
    """No such upload for this tenant."""

    code = "upload_not_found"


class UploadEnded(InvalidRequest):
    """The upload was completed or cancelled, or has expired."""

    code = "upload_ended"


class TooManyTransfers(LmaasError):
    """So many files come and go in this process that no more are taken; nothing was kept."""

    code = "too_many_transfers"
    retryable = True


class JobErased(LmaasError):
    """The job's content was erased; its row in the ledger stays."""

    code = "job_erased"

    def __init__(
        self, message: str, *, param: str | None = None, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, param=param)
        self.fields = fields or {}


class JobNotEnded(LmaasError):
    """The job waits or runs; only one that has ended can be erased."""

    code = "job_not_ended"
